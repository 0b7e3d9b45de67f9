"""Strict JSON request bodies and JSON responses.

Invariants: numbers with a fraction are exact Decimals, never floats (NaN and Infinity too, which every
field rejects with its own error); no text contains NUL or an unpaired surrogate (PostgreSQL stores neither);
no object has a field twice.
"""

import json
import math
import re
from decimal import Decimal, InvalidOperation
from typing import IO, Any

import orjson
from django.http import HttpResponse
from django.utils.translation import gettext as _
from rest_framework.parsers import BaseParser

from core.problems import Problem

LARGEST_BODY = 256 * 1024  # bytes; an endpoint may take more (Endpoint.largest_body)
DEEPEST = 16
# a time, which has no one form in JSON, is an error
_STRICT = orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class StrictJSONParser(BaseParser):
    """The parser of REST framework for our endpoints: the request body as Python values."""

    media_type = "application/json"

    def parse(self, stream: IO[bytes], media_type: str | None = None, parser_context: Any = None) -> Any:
        view = (parser_context or {}).get("view")
        largest = getattr(view, "largest_body", LARGEST_BODY)
        # One byte more than allowed is enough to detect a body that is too large.
        body = stream.read(largest + 1)
        if len(body) > largest:
            raise too_large(largest)
        return loads(body)


def too_large(most: int) -> Problem:
    return Problem(413, "body_too_large", _("The body is larger than %(most)s bytes.") % {"most": most})


def loads(body: bytes) -> Any:
    """Python values of a JSON text. Raises Problem (400 malformed_json)."""
    try:
        text = body.decode()
        value = _DECODER.decode(text)
    except RecursionError as error:
        raise _malformed(_("it is nested too deeply")) from error
    except ValueError as error:  # also UnicodeDecodeError and JSONDecodeError
        raise _malformed(str(error)) from error
    # JSON forbids a raw NUL and UTF-8 a raw surrogate, so only escapes can contain them, and only many
    # brackets can nest deeply. Other bodies need no further check.
    if "\\u" in text or text.count("{") + text.count("[") > DEEPEST:
        _inspect(value, DEEPEST)
    return value


def dumps(value: Any) -> str:
    """A JSON response. Every endpoint writes its responses with this function."""
    try:
        return orjson.dumps(value, option=_STRICT).decode()
    except TypeError:  # such as an integer of more than 64 bits
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def canonical(value: Any) -> bytes:
    """Canonical bytes: equal for equal JSON, whatever the order of fields and the spacing.

    They do not change from release to release, because fingerprints of them are stored.
    """
    try:
        text = orjson.dumps(value, option=_STRICT | orjson.OPT_SORT_KEYS)
    except TypeError:  # such as a Decimal
        text = b""
    if text.isascii() and text and b"\x7f" not in text:
        return text
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=str).encode()


def answer(value: Any, status: int = 200) -> HttpResponse:
    return HttpResponse(dumps(value), content_type="application/json", status=status)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError(_("an object contains a field twice"))
    return value


def _decimal(text: str) -> Decimal:
    """A number with a fraction or an exponent, exactly.

    NaN and Infinity become Decimals too, and a number out of range becomes NaN, so that the validation of the
    field can name it in the error.
    """
    try:
        return Decimal(text)
    except InvalidOperation:
        return Decimal("NaN")


_DECODER = json.JSONDecoder(parse_float=_decimal, parse_constant=_decimal, object_pairs_hook=_object)


def _inspect(value: Any, levels: int) -> None:
    if levels == 0 and isinstance(value, dict | list):
        raise _malformed(_("it is nested too deeply"))
    if isinstance(value, str):
        if _UNSTORABLE.search(value):
            raise _malformed(_("a string contains NUL or half a surrogate pair"))
    elif isinstance(value, dict):
        for name, inner in value.items():
            _inspect(name, levels)
            _inspect(inner, levels - 1)
    elif isinstance(value, list):
        for inner in value:
            _inspect(inner, levels - 1)


def _malformed(reason: str) -> Problem:
    detail = _("The body is not valid JSON: %(reason)s.") % {"reason": reason}
    return Problem(
        400, "malformed_json", detail, errors=[{"field": "", "code": "malformed_json", "message": detail}]
    )


def without_decimals(value: Any) -> Any:
    """A client's own JSON (metadata) for a JSON column: Decimals become floats again.

    Raises ValueError for a number that is not finite.
    """
    if isinstance(value, Decimal):
        number = float(value)
        if not math.isfinite(number):
            raise ValueError
        return number
    if isinstance(value, dict):
        return {name: without_decimals(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [without_decimals(inner) for inner in value]
    return value
