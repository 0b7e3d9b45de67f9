"""What was spent: by day, by service, project, conversation, member or key, for pages.

Invariants: days are those of the account's accounting zone, whatever the server's; every sum is over a
bounded range (`Period`), from charges and never from entries; what was given back does not count as spent.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, cast
from zoneinfo import ZoneInfo

from django.db.models import Count, F, Max, QuerySet, Sum
from django.db.models.functions import TruncDate

from accounts.models import Account, ApiKey, Project, User
from billing.models import Charge
from core import ids
from core.models import Identified
from pricing.catalogue import cache as catalogue_cache

LONGEST = 366  # days: the most that one page sums
SPENT = F("credits") - F("uncollected") - F("returned")
DIMENSIONS = {
    "service": "service",
    "project": "project_id",
    "conversation": "conversation",
    "member": "member_id",
    "api_key": "api_key_id",
}
_MODELS: dict[str, type[Identified]] = {"project": Project, "member": User, "api_key": ApiKey}


@dataclass(frozen=True)
class Period:
    """Whole local days of an account, both ends included."""

    first: date
    last: date
    zone: ZoneInfo

    @property
    def start(self) -> datetime:
        return datetime.combine(self.first, datetime.min.time(), self.zone)

    @property
    def end(self) -> datetime:
        """The instant at which the period is over (excluded)."""
        return datetime.combine(self.last + timedelta(days=1), datetime.min.time(), self.zone)

    @property
    def days(self) -> list[date]:
        return [self.first + timedelta(days=n) for n in range((self.last - self.first).days + 1)]


@dataclass(frozen=True)
class Part:
    """What one service (project, conversation, …) took in a period."""

    key: str
    name: str
    credits: Decimal
    calls: int
    last_at: datetime


def latest_days(account: Account, *, days: int, now: datetime) -> Period:
    """The period of so many local days that ends today."""
    zone = ZoneInfo(account.zone)
    today = now.astimezone(zone).date()
    return Period(first=today - timedelta(days=min(days, LONGEST) - 1), last=today, zone=zone)


def charges_in(account: Account, period: Period) -> QuerySet[Charge]:
    return Charge.objects.filter(account=account, created_at__gte=period.start, created_at__lt=period.end)


def by_day(account: Account, period: Period, **only: Any) -> list[tuple[date, Decimal]]:
    """Credits spent on each day of the period, days without use included; `only` narrows by columns."""
    sums = dict(
        charges_in(account, period)
        .filter(**only)
        .annotate(day=TruncDate("created_at", tzinfo=period.zone))
        .values("day")
        .annotate(spent=Sum(SPENT))
        .values_list("day", "spent")
    )
    return [(day, sums.get(day, Decimal(0))) for day in period.days]


def parts_of(
    account: Account, period: Period, *, dimension: str, limit: int = 100, **only: Any
) -> list[Part]:
    """What each value of a dimension (a key of DIMENSIONS) took, the largest first; `only` narrows."""
    column = DIMENSIONS[dimension]
    rows = (
        charges_in(account, period)
        .filter(**only)
        .values(value=F(column))
        .annotate(spent=Sum(SPENT), calls=Count("id"), last_at=Max("created_at"))
        .order_by("-spent", "-calls", column)[:limit]
    )
    found = [cast(dict[str, Any], row) for row in rows]
    names = names_of(account, dimension=dimension, values=[row["value"] for row in found])
    return [
        Part(
            key=key_of(dimension, row["value"]),
            name=names.get(row["value"], ""),
            credits=row["spent"],
            calls=row["calls"],
            last_at=row["last_at"],
        )
        for row in found
    ]


def parts_by_value(
    account: Account, period: Period, *, dimension: str, only: Sequence[Any]
) -> dict[Any, tuple[Decimal, int]]:
    """Credits and calls of some values of a dimension; a value without calls is left out."""
    column = DIMENSIONS[dimension]
    rows = charges_in(account, period).filter(**{f"{column}__in": only}).values(value=F(column))
    found = [cast(dict[str, Any], row) for row in rows.annotate(spent=Sum(SPENT), calls=Count("id"))]
    return {row["value"]: (row["spent"], row["calls"]) for row in found}


def key_of(dimension: str, value: Any) -> str:
    """How the value is named outside: a service's key, a project's public id, …"""
    if not value:
        return ""
    model = _MODELS.get(dimension)
    return ids.public_id(prefix=model.PREFIX, value=value) if model else str(value)


def value_of(dimension: str, key: str) -> Any:
    """The column's value behind an outside name, or None when it is no such name."""
    model = _MODELS.get(dimension)
    return model.uuid_of(key) if model else key


def names_of(account: Account, *, dimension: str, values: Sequence[Any]) -> dict[Any, str]:
    """What people call these values; a value without a name is left out."""
    known = [value for value in values if value]
    if dimension == "service":
        return service_names(known)
    if dimension == "project":
        return dict(Project.objects.filter(account=account, pk__in=known).values_list("pk", "name"))
    if dimension == "member":
        return dict(User.objects.filter(pk__in=known).values_list("pk", "email"))
    if dimension == "api_key":
        keys = ApiKey.objects.filter(pk__in=known)
        return {key.pk: str(key) if key.account_id == account.pk else key.name for key in keys}
    return {value: str(value) for value in known}


def service_names(keys: Sequence[str]) -> dict[str, str]:
    """Names of services by key; a service that is no longer in the catalogue keeps its key as its name."""
    known = catalogue_cache.current().services
    return {key: known[key].name if key in known else key for key in keys}
