"""JSON to dataclasses and dataclasses' values to JSON.

Invariants: credits are Decimals and times are aware datetimes in Python, both are strings in JSON; a float is
never accepted as an amount; members that a class does not have are ignored, because responses may grow.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

T = TypeVar("T")
Amount = Decimal | int | str
"""Credits as an argument: a float is a TypeError."""


def decode(kind: Any, data: Any) -> Any:
    """The JSON value as `kind`: a dataclass, Decimal, datetime, list, dict or union with None.

    Raises KeyError, TypeError, ValueError and ArithmeticError for a value of another form.
    """
    if get_origin(kind) in (Union, types.UnionType):
        return None if data is None else decode(_without_none(kind), data)
    if get_origin(kind) is list:
        (item,) = get_args(kind)
        return [decode(item, one) for one in data]
    if get_origin(kind) is dict:
        _name, item = get_args(kind)
        return {name: decode(item, one) for name, one in data.items()}
    if dataclasses.is_dataclass(kind):
        fields = _fields(cast(type, kind))
        return cast(Any, kind)(
            **{name: decode(hint, data[name]) for name, hint in fields.items() if name in data}
        )
    if kind is Decimal:
        return Decimal(str(data))
    if kind is datetime:
        return datetime.fromisoformat(data).astimezone(UTC)
    return data


def _without_none(kind: Any) -> Any:
    (inner,) = (one for one in get_args(kind) if one is not type(None))
    return inner


@cache
def _fields(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def amount(value: Amount) -> str:
    """Credits in plain decimal notation. Raises TypeError for a float."""
    if isinstance(value, bool) or not isinstance(value, Decimal | int | str):
        raise TypeError(f"credits are a Decimal, int or str, not {type(value).__name__}")
    text = f"{Decimal(value):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def amount_or_none(value: Amount | None) -> str | None:
    return None if value is None else amount(value)


def instant(value: datetime) -> str:
    """RFC 3339. Raises ValueError for a time without a zone."""
    if value.tzinfo is None:
        raise ValueError("a time needs a zone, such as datetime.now(UTC)")
    return value.isoformat()


def quantity(value: Any) -> int | float:
    """A quantity as a JSON number; whole numbers have no fraction."""
    exact = Decimal(str(value))
    return int(exact) if exact == exact.to_integral_value() else float(exact)


def given(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The members that are not None, in the form of JSON."""
    return {name: _plain(value) for name, value in fields.items() if value is not None}


class Unchanged:
    """Type of UNCHANGED, the value of a field that is not to be changed, where None removes it."""


UNCHANGED = Unchanged()


def changed(**fields: Amount | datetime | Unchanged | None) -> dict[str, Any]:
    """The amounts and times that are to be changed, in the form of JSON; None stays as null."""
    body: dict[str, Any] = {}
    for name, value in fields.items():
        if isinstance(value, datetime):
            body[name] = instant(value)
        elif not isinstance(value, Unchanged):
            body[name] = amount_or_none(value)
    return body


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return amount(value)
    return instant(value) if isinstance(value, datetime) else value
