"""Check the payload of a Stripe event before it is stored and before it is handled.

Invariants: every signed payload can be stored, whatever it contains; in a checked object every field that the
handlers read is absent or has a type that Stripe documents, and the handler's required fields are present. A
KeyError or TypeError after the check is a programming error.
"""

import hashlib
import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.utils.translation import gettext as _

from billing.stripe_gateway import StripeObject

MAX_DEPTH = 60  # Stripe's own objects have at most a dozen levels
_MAX_TEXT = 100_000  # characters of a payload that is no JSON object
_CREATED = range(4_102_444_800)  # until the end of 2099
_MAX_AMOUNT = 10**15
_ID = re.compile(r"[!-~]{1,255}")
_WORD = re.compile(r"[\w.-]{0,40}", re.ASCII)
_CURRENCY = re.compile(r"[A-Za-z]{3}", re.ASCII)
_EVENT_TYPE = re.compile(r"[\w.]{1,100}", re.ASCII)
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")  # PostgreSQL stores neither NUL nor unpaired surrogates


class EventNotUnderstood(Exception):
    """The event has an unknown shape, or contradicts the database: staff must look at it."""


@dataclass(frozen=True, kw_only=True)
class Envelope:
    """The fields under which an event is stored. `error`: why it cannot be processed; empty when it can."""

    stripe_id: str
    type: str
    api_version: str
    happened_at: datetime
    payload: StripeObject
    error: str


# Storing


def parse(body: bytes) -> StripeObject:
    """The event in a signed request body; a body that is no JSON object becomes `{"unreadable": text}`."""
    try:
        event = json.loads(body)
    except (ValueError, RecursionError):
        event = None
    if isinstance(event, dict):
        return event
    return {"unreadable": body[:_MAX_TEXT].decode("utf-8", "replace")}


def envelope(event: StripeObject, now: datetime) -> Envelope:
    """How to store an event. What is not as Stripe documents it is replaced and named in `error`."""
    payload, replaced = _storable(event, MAX_DEPTH)
    errors = [_("The event contains text, numbers or levels that cannot be stored")] if replaced else []
    stripe_id, type, created = event.get("id"), event.get("type"), event.get("created")
    if not _is_id(stripe_id):
        errors.append(_("The event has no valid id"))
        stripe_id = f"unreadable:{hashlib.sha256(repr(payload).encode()).hexdigest()}"
    if not _is_text(type, _EVENT_TYPE):
        errors.append(_("The event has no valid type"))
        type = "unreadable"
    if not _is_integer(created) or created not in _CREATED:
        errors.append(_("The event has no valid time"))
        created = int(now.timestamp())
    version = event.get("api_version") or ""
    if not _is_text(version, _WORD):
        errors.append(_("The event has no valid API version"))
        version = ""
    if not isinstance(event.get("livemode", False), bool):
        errors.append(_("The event does not say whether it is live"))
    return Envelope(
        stripe_id=str(stripe_id),
        type=str(type),
        api_version=str(version),
        happened_at=datetime.fromtimestamp(int(created or 0), tz=UTC),
        payload=payload,
        error="; ".join(errors),
    )


def _storable(value: Any, levels: int) -> tuple[Any, bool]:
    """The value as PostgreSQL can store it, and whether anything was replaced."""
    if isinstance(value, str):
        text = _UNSTORABLE.sub("\N{REPLACEMENT CHARACTER}", value)
        return text, text != value
    if isinstance(value, float) and not math.isfinite(value):
        return str(value), True
    if not isinstance(value, dict | list):
        return value, False
    if levels == 0:
        return "…", True
    replaced = False
    if isinstance(value, list):
        items = [_storable(item, levels - 1) for item in value]
        return [item for item, _replaced in items], any(replaced for _item, replaced in items)
    fields: StripeObject = {}
    for name, item in value.items():
        name, name_replaced = _storable(name, levels)
        fields[name], item_replaced = _storable(item, levels - 1)
        replaced = replaced or name_replaced or item_replaced
    return fields, replaced


# Handling


def checked_object(event: StripeObject, required: tuple[str, ...]) -> StripeObject:
    """The object of an event. Raises EventNotUnderstood if a field is missing or has another type."""
    data = event.get("data")
    stripe_object: Any = data.get("object") if isinstance(data, dict) else None
    if not isinstance(stripe_object, dict):
        raise EventNotUnderstood(_("The event has no object"))
    for name in required:
        if name not in stripe_object:
            raise EventNotUnderstood(_("The event's object has no field %(name)s") % {"name": name})
    _check_fields(stripe_object)
    return stripe_object


def _check_fields(stripe_object: StripeObject) -> None:
    """Check the fields that handlers read, also those of expanded and nested objects."""
    for name, is_valid in _FIELDS.items():
        if name not in stripe_object:
            continue
        value = stripe_object[name]
        if not is_valid(value):
            raise EventNotUnderstood(
                _("The field %(name)s of the event's object has an unknown type or value: %(value)s")
                % {"name": name, "value": repr(value)[:100]}
            )
        if isinstance(value, dict) and name != "metadata":
            _check_fields(value)


def _is_text(value: Any, pattern: re.Pattern[str]) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_id(value: Any) -> bool:
    return _is_text(value, _ID)


def _is_id_or_none(value: Any) -> bool:
    return value is None or _is_id(value)


def _is_reference(value: Any) -> bool:
    """An id, an expanded object, or null."""
    return _is_id(value["id"]) if isinstance(value, dict) and "id" in value else _is_id_or_none(value)


def _is_amount(value: Any) -> bool:
    return _is_integer(value) and abs(value) <= _MAX_AMOUNT


def _is_amount_or_none(value: Any) -> bool:
    return value is None or _is_amount(value)


def _is_time_or_none(value: Any) -> bool:
    return value is None or (_is_integer(value) and value in _CREATED)


def _is_word_or_none(value: Any) -> bool:
    return value is None or _is_text(value, _WORD)


def _is_currency_or_none(value: Any) -> bool:
    return value is None or _is_text(value, _CURRENCY)


def _is_text_or_none(value: Any) -> bool:
    return value is None or isinstance(value, str)


def _is_object_or_none(value: Any) -> bool:
    return value is None or isinstance(value, dict)


def _is_words_or_none(value: Any) -> bool:
    return value is None or (isinstance(value, list) and all(_is_text(word, _WORD) for word in value))


def _is_metadata(value: Any) -> bool:
    return value is None or (
        isinstance(value, dict) and all(isinstance(text, str) for text in value.values())
    )


_FIELDS: dict[str, Callable[[Any], bool]] = {
    "id": _is_id,
    "amount": _is_amount,
    "amount_received": _is_amount_or_none,
    "amount_refunded": _is_amount,
    "amount_total": _is_amount_or_none,
    "charge": _is_reference,
    "client_reference_id": _is_text_or_none,
    "code": _is_text_or_none,
    "created": _is_time_or_none,
    "currency": _is_currency_or_none,
    "customer": _is_reference,
    "decline_code": _is_text_or_none,
    "display_bank_transfer_instructions": _is_object_or_none,
    "due_by": _is_time_or_none,
    "evidence_details": _is_object_or_none,
    "failure_reason": _is_text_or_none,
    "last_finalization_error": _is_object_or_none,
    "last_payment_error": _is_object_or_none,
    "latest_charge": _is_reference,
    "message": _is_text_or_none,
    "metadata": _is_metadata,
    "mode": _is_word_or_none,
    "next_action": _is_object_or_none,
    "parent": _is_object_or_none,
    "payment_intent": _is_reference,
    "payment_method_details": _is_object_or_none,
    "payment_method_types": _is_words_or_none,
    "payment_status": _is_word_or_none,
    "reason": _is_word_or_none,
    "receipt_url": _is_text_or_none,
    "setup_intent": _is_reference,
    "status": _is_word_or_none,
    "subscription": _is_reference,
    "subscription_details": _is_object_or_none,
    "type": _is_word_or_none,
}
