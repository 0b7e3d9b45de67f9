"""Billing periods: calendar months and years counted from an anchor, in UTC.

Invariant: every boundary is counted from the anchor, never from the boundary before, so that the 31st comes
back after February.
"""

import calendar
from datetime import UTC, datetime, timedelta
from typing import Any


def boundary(anchor: int, recurring: dict[str, Any], count: int) -> int:
    """The `count`-th renewal after the anchor (Unix seconds)."""
    start = datetime.fromtimestamp(anchor, tz=UTC)
    steps = recurring["interval_count"] * count
    if recurring["interval"] in ("day", "week"):
        days = steps * (7 if recurring["interval"] == "week" else 1)
        return int((start + timedelta(days=days)).timestamp())
    months = start.year * 12 + start.month - 1 + steps * (12 if recurring["interval"] == "year" else 1)
    year, month = divmod(months, 12)
    last = calendar.monthrange(year, month + 1)[1]
    return int(start.replace(year=year, month=month + 1, day=min(start.day, last)).timestamp())


def period_at(anchor: int, recurring: dict[str, Any], instant: int) -> tuple[int, int]:
    """(start, end) of the period that contains the instant: its start belongs to it, its end does not."""
    count = 0
    while boundary(anchor, recurring, count + 1) <= instant:
        count += 1
    return boundary(anchor, recurring, count), boundary(anchor, recurring, count + 1)


def share(amount: int, part: int, whole: int) -> int:
    """`amount * part / whole` in minor units, half up, the same for a credit as for a charge."""
    sign = -1 if amount < 0 else 1
    return sign * ((abs(amount) * part * 2 + whole) // (whole * 2))
