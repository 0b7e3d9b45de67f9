"""Rows: a value that is sent in place of a field's value, and what is stored, shown or refused.

Row("12.50", 12_50)              is stored as 1250, and shown again as "12.50"
Row("12.50", 12_50, shown="…")   is shown in another notation
Row(ABSENT, False)               the field is not sent, as browsers do with an unchecked box
refused("-1", "greater than")    an error beside this field that contains the words; nothing is stored
"""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

ABSENT = object()
SAME = object()  # shown as it was sent
NOT_SHOWN = object()


@dataclass(frozen=True)
class Row:
    given: Any
    stored: Any = None
    shown: Any = SAME
    error: str = ""
    field: str = ""
    """Where the error is: another field, or "banner", above the form. Empty: beside the field itself."""


def refused(given: Any, words: str, *, field: str = "") -> Row:
    return Row(given, error=words, field=field)


def fields(model: Any, names: str, **convert: Callable[[Any], Any]) -> dict[str, Any]:
    """The named values of a stored row; empty when there is none."""
    if model is None:
        return {}
    return {name: getattr(model, name) for name in names.split()} | {
        name: read(model) for name, read in convert.items()
    }


def text_rows(longest: int, *, required: bool = True, blank: Any = "") -> list[Row]:
    """A text: of the longest length, one above it, empty, with spaces around it, with a null character."""
    return [
        Row("Ada Lovelace", "Ada Lovelace"),
        Row("x" * longest, "x" * longest),
        refused("x" * (longest + 1), f"at most {longest} characters"),
        refused("", "required") if required else Row("", blank),
        Row("  spaces around  ", "spaces around", shown="spaces around"),
        refused("a\0b", "Null characters"),
    ]


CREDITS_ROWS = [
    Row("0", Decimal(0)),
    Row("12.5", Decimal("12.5")),
    Row("0.000001", Decimal("0.000001")),
    Row("1000000000", Decimal(10**9)),
    refused("1000000000.000001", "less than or equal to 1000000000"),
    refused("0.0000001", "6 decimal places"),
    refused("-0.000001", "greater than or equal to 0"),
    refused("", "required"),
    refused("many", "Enter a number"),
    refused("NaN", "Enter a number"),
]
