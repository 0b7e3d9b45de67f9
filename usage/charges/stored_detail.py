"""How the detail of a charge or hold is stored: its lines, rate, usage, options and metadata in few bytes.

Invariant: `restored(stored(detail)) == detail`. What is empty is left out, a line is a list in the order of
`_COLUMNS`, and the rate is one text; names that would repeat in each row are here and not in the row. Rows
of earlier releases hold the detail itself and are read as well.
"""

from collections.abc import Mapping
from typing import Any, TypedDict

from pricing.rates.quotes import Line, RateVersion

_COLUMNS = ("meter", "quantity", "unit_credits", "per", "credits", "multipliers", "blocks")
_ALWAYS = 5  # the columns that each line has; the others stand at the end when they have a value


class Detail(TypedDict):
    """What a charge or hold records of its use. `usage` holds numbers, or texts for those with a fraction."""

    lines: list[Line]
    rate: RateVersion
    usage: dict[str, Any]
    options: dict[str, Any]
    metadata: dict[str, Any]


def stored(detail: Detail) -> dict[str, Any]:
    """The detail as the ledger stores it."""
    rate = detail["rate"]
    row: dict[str, Any] = {
        "rate": f"{rate['version']} {rate['effective_at']}",
        "lines": [_stored_line(line) for line in detail["lines"]],
        "usage": detail["usage"],
        "options": detail["options"],
        "metadata": detail["metadata"],
    }
    return {name: value for name, value in row.items() if value}


def restored(row: Mapping[str, Any]) -> Detail:
    """The detail of a stored row."""
    return {
        "lines": [_restored_line(line) for line in row.get("lines") or ()],
        "rate": _restored_rate(row.get("rate") or ""),
        "usage": row.get("usage") or {},
        "options": row.get("options") or {},
        "metadata": row.get("metadata") or {},
    }


def _restored_rate(row: Any) -> RateVersion:
    if isinstance(row, dict):
        return {"version": row.get("version", ""), "effective_at": row.get("effective_at", "")}
    version, _blank, effective_at = row.rpartition(" ")
    return {"version": version, "effective_at": effective_at}


def _stored_line(line: Line) -> list[Any]:
    row = [line.get(name) for name in _COLUMNS]
    while len(row) > _ALWAYS and row[-1] in (None, {}):
        row.pop()
    return row


def _restored_line(row: Any) -> Line:
    if isinstance(row, dict):
        return row  # type: ignore[return-value]
    line = {"multipliers": {}} | dict(zip(_COLUMNS, row, strict=False))
    return line  # type: ignore[return-value]
