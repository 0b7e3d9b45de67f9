"""Validity of credits: "forever", or an interval such as "12 months", as the catalogue writes it.

Invariant: months and years are calendar months in UTC; a day that a month lacks becomes its last day.
"""

import calendar
from datetime import UTC, datetime, timedelta


def ends_at(lasts: str, start: datetime) -> datetime | None:
    """When credits granted at `start` expire; None: never."""
    if lasts in {"forever", ""}:
        return None
    number, unit = lasts.split()
    count = int(number)
    if unit.startswith("day"):
        return start + timedelta(days=count)
    return add_months(start, count * (12 if unit.startswith("year") else 1))


def add_months(start: datetime, months: int) -> datetime:
    """The same day and time `months` later (negative: earlier), at most the month's last day."""
    moment = start.astimezone(UTC)
    year, month = divmod(moment.year * 12 + moment.month - 1 + months, 12)
    day = min(moment.day, calendar.monthrange(year, month + 1)[1])
    return moment.replace(year=year, month=month + 1, day=day)


def months_since(anchor: datetime, at: datetime) -> int:
    """How many months, counted from the anchor, are over at an instant; negative before the anchor."""
    start, end = anchor.astimezone(UTC), at.astimezone(UTC)
    months = (end.year - start.year) * 12 + end.month - start.month
    return months - 1 if add_months(start, months) > end else months


def month_of(moment: datetime) -> datetime:
    """The first instant of the calendar month (UTC)."""
    return moment.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
