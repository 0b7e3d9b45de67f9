"""Credits spent, summed by day or interval and by service, project, conversation, member or API key.

Invariants: days and intervals begin in the requested time zone, whatever the server's; sums are taken from
charges, never from entries, and exclude returned and uncollected credits; every query is over a bounded range
and returns a bounded number of rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, cast
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db.models import Count, F, Max, QuerySet, Sum
from django.db.models.functions import TruncDate, TruncDay, TruncHour, TruncMonth

from accounts.models import Account, ApiKey, Project, User
from billing.models import Charge
from core import ids
from core.models import Identified
from usage import selectors
from usage.periods import Period

SPENT = F("credits") - F("uncollected") - F("returned")
DIMENSIONS = {
    "service": "service",
    "project": "project_id",
    "conversation": "conversation",
    "member": "member_id",
    "api_key": "api_key_id",
}
INTERVALS = {"hour": TruncHour, "day": TruncDay, "month": TruncMonth}
LONGEST_DAYS = {"hour": 31, "day": 400, "month": 3700, "": 3700}
MAX_ROWS = 20_000
_MODELS: dict[str, type[Identified]] = {"project": Project, "member": User, "api_key": ApiKey}


class TooManyRows(Exception):
    """The result has more than MAX_ROWS rows."""


@dataclass(frozen=True)
class GroupTotal:
    """Credits and calls of one value of a dimension (one service, one project, …) in a period."""

    key: str
    name: str
    credits: Decimal
    calls: int
    last_at: datetime


@dataclass(frozen=True, slots=True)
class IntervalTotal:
    """Credits and charges of one interval and one group.

    `start` is None when the range is not divided into intervals; `group` is None when it is not divided into
    groups, and for charges without a value of the dimension.
    """

    start: datetime | None
    group: str | None
    credits: Decimal
    charges: int


def daily_totals(account: Account, period: Period, **filters: Any) -> list[tuple[date, Decimal]]:
    """Credits spent on each day of the period, days without use included. `filters` are columns of Charge."""
    spent_on = dict(
        selectors.charges_in(account, period)
        .filter(**filters)
        .annotate(day=TruncDate("created_at", tzinfo=period.zone))
        .values("day")
        .annotate(spent=Sum(SPENT))
        .values_list("day", "spent")
    )
    return [(day, spent_on.get(day, Decimal(0))) for day in period.days]


def group_totals(
    account: Account, period: Period, *, dimension: str, limit: int = 100, **filters: Any
) -> list[GroupTotal]:
    """The `limit` largest totals by a dimension (a key of DIMENSIONS), largest first.

    `filters` are columns of Charge.
    """
    column = DIMENSIONS[dimension]
    query = (
        selectors.charges_in(account, period)
        .filter(**filters)
        .values(value=F(column))
        .annotate(spent=Sum(SPENT), calls=Count("id"), last_at=Max("created_at"))
        .order_by("-spent", "-calls", column)[:limit]
    )
    groups = [cast(dict[str, Any], group) for group in query]
    names = display_names(account, dimension=dimension, values=[group["value"] for group in groups])
    return [
        GroupTotal(
            key=public_key(dimension, group["value"]),
            name=names.get(group["value"], ""),
            credits=group["spent"],
            calls=group["calls"],
            last_at=group["last_at"],
        )
        for group in groups
    ]


def totals_by_value(
    account: Account, period: Period, *, dimension: str, values: Sequence[Any]
) -> dict[Any, tuple[Decimal, int]]:
    """Credits and calls of the given column values of a dimension; a value without calls is left out."""
    column = DIMENSIONS[dimension]
    query = selectors.charges_in(account, period).filter(**{f"{column}__in": values}).values(value=F(column))
    groups = [cast(dict[str, Any], group) for group in query.annotate(spent=Sum(SPENT), calls=Count("id"))]
    return {group["value"]: (group["spent"], group["calls"]) for group in groups}


def interval_totals(
    account_id: UUID, *, start: datetime, end: datetime, group_by: str, interval: str, zone: ZoneInfo
) -> list[IntervalTotal]:
    """Totals from `start` (included) to `end` (excluded), ordered by time, then largest first.

    An empty `group_by` or `interval` does not divide the range that way. Raises TooManyRows.
    """
    query: QuerySet[Charge, Any] = Charge.objects.filter(
        account_id=account_id, created_at__gte=start, created_at__lt=end
    ).values()
    columns = []
    if interval:
        query = query.annotate(start=INTERVALS[interval]("created_at", tzinfo=zone))
        columns.append("start")
    if group_by:
        query = query.annotate(group=F(DIMENSIONS[group_by]))
        columns.append("group")
    if not columns:
        total = query.aggregate(spent=Sum(SPENT), calls=Count("id"))
        return [IntervalTotal(None, None, total["spent"] or Decimal(0), total["calls"])]
    ordering = [*(["start"] if interval else []), "-spent", *(["group"] if group_by else [])]
    totals = list(
        query.values(*columns)
        .annotate(spent=Sum(SPENT), calls=Count("id"))
        .order_by(*ordering)[: MAX_ROWS + 1]
    )
    if len(totals) > MAX_ROWS:
        raise TooManyRows
    return [
        IntervalTotal(
            start=total.get("start"),
            group=public_key(group_by, total.get("group")) or None,
            credits=total["spent"],
            charges=total["calls"],
        )
        for total in totals
    ]


def public_key(dimension: str, value: Any) -> str:
    """The public form of a column value: a service's key, a project's public id, …"""
    if not value:
        return ""
    model = _MODELS.get(dimension)
    return ids.public_id(prefix=model.PREFIX, value=value) if model else str(value)


def column_value(dimension: str, key: str) -> Any:
    """The column value of a public key, or None when the key is malformed."""
    model = _MODELS.get(dimension)
    return model.uuid_of(key) if model else key


def display_names(account: Account, *, dimension: str, values: Sequence[Any]) -> dict[Any, str]:
    """The names shown for column values; a value without a name is left out."""
    present = [value for value in values if value]
    if dimension == "service":
        return selectors.service_names(present)
    if dimension == "project":
        return dict(Project.objects.filter(account=account, pk__in=present).values_list("pk", "name"))
    if dimension == "member":
        return dict(User.objects.filter(pk__in=present).values_list("pk", "email"))
    if dimension == "api_key":
        keys = ApiKey.objects.filter(pk__in=present)
        return {key.pk: str(key) if key.account_id == account.pk else key.name for key in keys}
    return {value: str(value) for value in present}
