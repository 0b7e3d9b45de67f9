"""What was spent between two instants, taken apart by service, project … and by hour, day or month.

Invariants: intervals begin where the asked time zone says, whatever the server's; sums are of charges, less
what was given back; a range is bounded, and so is the number of rows that one question can make.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db.models import Count, F, QuerySet, Sum
from django.db.models.functions import TruncDay, TruncHour, TruncMonth

from billing.models import Charge
from usage.dashboard.statistics import DIMENSIONS, SPENT, key_of

INTERVALS = {"hour": TruncHour, "day": TruncDay, "month": TruncMonth}
LONGEST_DAYS = {"hour": 31, "day": 400, "month": 3700, "": 3700}
MOST_ROWS = 20_000


class TooManyRows(Exception):
    """The question would be answered in more than MOST_ROWS rows."""


@dataclass(frozen=True, slots=True)
class SumRow:
    """One interval (None: the whole range) of one group ("" : without one; None: not taken apart)."""

    start: datetime | None
    group: str | None
    credits: Decimal
    charges: int


def sums(
    account_id: UUID, *, start: datetime, end: datetime, group_by: str, interval: str, zone: ZoneInfo
) -> list[SumRow]:
    """Sums of the range, in order of time and then largest first. Empty texts: not taken apart that way.

    Raises TooManyRows.
    """
    rows: QuerySet[Charge, Any] = Charge.objects.filter(
        account_id=account_id, created_at__gte=start, created_at__lt=end
    ).values()
    names = []
    if interval:
        rows = rows.annotate(start=INTERVALS[interval]("created_at", tzinfo=zone))
        names.append("start")
    if group_by:
        rows = rows.annotate(group=F(DIMENSIONS[group_by]))
        names.append("group")
    if not names:
        whole = rows.aggregate(spent=Sum(SPENT), calls=Count("id"))
        return [SumRow(None, None, whole["spent"] or Decimal(0), whole["calls"])]
    found = list(
        rows.values(*names)
        .annotate(spent=Sum(SPENT), calls=Count("id"))
        .order_by(*(["start"] if interval else []), "-spent", *(["group"] if group_by else []))[
            : MOST_ROWS + 1
        ]
    )
    if len(found) > MOST_ROWS:
        raise TooManyRows
    return [
        SumRow(
            start=row.get("start"),
            group=key_of(group_by, row["group"]) if group_by else None,
            credits=row["spent"],
            charges=row["calls"],
        )
        for row in found
    ]
