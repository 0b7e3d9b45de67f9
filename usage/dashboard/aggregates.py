"""Credits spent, summed by day or interval and by service, project, conversation, member or API key.

Invariants: days and intervals begin in the requested time zone, whatever the server's; sums are those of
charges (usage.sums), never of entries, and exclude returned and uncollected credits; every query is over a
bounded range and returns a bounded number of rows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from accounts.models import Account, ApiKey, Project, User
from core import ids
from core.models import Identified
from usage import selectors
from usage.periods import Period
from usage.sums.columns import UUIDS, text_of
from usage.sums.reading import Range

INTERVALS = ("hour", "day", "month")
LONGEST_DAYS = {"hour": 31, "day": 400, "month": 3700, "": 3700}
MAX_ROWS = 20_000
_BY_VALUE = "select value, sum(credits), sum(charges)::int, max(last_at) from parts group by value"
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
    """Credits spent on each day of the period, days without use included.

    `filters`: at most one column of Charge with its value.
    """
    rows = _range(account, period, filters=filters).rows(
        "select local::date, sum(credits) from parts group by 1"
    )
    return _each_day(period, {day: spent for day, spent in rows})


@dataclass(frozen=True, slots=True)
class Series:
    """Credits of each slot of a period: `labels` are days, or the hours of one day from 0 to 23.

    `parts` has the values of each asked value of a dimension; what they leave is spent on others.
    """

    labels: Sequence[date | int]
    totals: list[Decimal]
    parts: dict[Any, list[Decimal]]


def series(
    account: Account, period: Period, *, dimension: str = "", values: Sequence[Any] = (), **filters: Any
) -> Series:
    """Credits of each day, or of each hour where the period is one day.

    `values`: of the dimension, each with credits of its own. `filters`: at most one column of Charge with its
    value. An hour that the clocks repeat is one.
    """
    by_hour = period.first == period.last
    slot = "extract(hour from local)::int" if by_hour else "local::date"
    labels: Any = list(range(24)) if by_hour else period.days
    texts = [text_of(value) for value in values]
    rows = _range(account, period, dimension=dimension, filters=filters, by_day=not by_hour).rows(
        f"select {slot}, array_position(%(texts)s::text[], value), sum(credits) from parts group by 1, 2",
        texts=texts,
    )
    places = {label: place for place, label in enumerate(labels)}
    totals = [Decimal(0)] * len(labels)
    parts = {value: [Decimal(0)] * len(labels) for value in values}
    for label, position, spent in rows:
        totals[places[label]] += spent
        if position is not None:
            parts[values[position - 1]][places[label]] = spent
    return Series(labels, totals, parts)


def daily_and_group_totals(
    account: Account, period: Period, *, dimension: str, limit: int
) -> tuple[list[tuple[date, Decimal]], list[GroupTotal]]:
    """The results of `daily_totals` and of `group_totals`, from one reading of the sums."""
    rows = _range(account, period, dimension=dimension).rows(
        """select grouping(value), local::date, value, sum(credits), sum(charges)::int, max(last_at)
        from parts group by grouping sets ((local::date), (value)) order by 1 desc, 4 desc, 5 desc, 3"""
    )
    spent_on = {day: spent for of_day, day, _value, spent, *_ in rows if of_day}
    groups = [row[2:] for row in rows if not row[0]][:limit]
    return _each_day(period, spent_on), _groups(account, dimension, groups)


def group_totals(
    account: Account, period: Period, *, dimension: str, limit: int = 100, **filters: Any
) -> list[GroupTotal]:
    """The `limit` largest totals by a dimension (a key of DIMENSIONS), largest first.

    `filters`: at most one column of Charge with its value.
    """
    rows = _range(account, period, dimension=dimension, filters=filters).rows(
        f"{_BY_VALUE} order by 2 desc, 3 desc, value limit %(limit)s", limit=limit
    )
    return _groups(account, dimension, rows)


def _each_day(period: Period, spent_on: Mapping[date, Decimal]) -> list[tuple[date, Decimal]]:
    return [(day, spent_on.get(day, Decimal(0))) for day in period.days]


def _groups(account: Account, dimension: str, rows: Sequence[Sequence[Any]]) -> list[GroupTotal]:
    values = {text: _column_value(dimension, text) for text, *_ in rows}
    names = display_names(account, dimension=dimension, values=list(values.values()))
    return [
        GroupTotal(
            key=public_key(dimension, values[text]),
            name=names.get(values[text], ""),
            credits=credits,
            calls=calls,
            last_at=last_at,
        )
        for text, credits, calls, last_at in rows
    ]


def totals_by_value(
    account: Account, period: Period, *, dimension: str, values: Sequence[Any]
) -> dict[Any, tuple[Decimal, int]]:
    """Credits and calls of the given column values of a dimension; a value without calls is left out."""
    rows = _range(account, period, dimension=dimension).rows(
        f"{_BY_VALUE} having value = any(%(values)s)", values=[text_of(value) for value in values]
    )
    return {_column_value(dimension, text): (credits, calls) for text, credits, calls, _last_at in rows}


def credits_by_day_and_value(
    account: Account, period: Period, *, dimension: str
) -> dict[tuple[date, Any], Decimal]:
    """Credits of each day and each value of a dimension that has any."""
    rows = _range(account, period, dimension=dimension).rows(
        "select local::date, value, sum(credits) from parts group by 1, 2"
    )
    return {(day, _column_value(dimension, text)): credits for day, text, credits in rows}


def newest_of_days(
    account: Account, period: Period, *, dimension: str, values: Sequence[Any]
) -> list[datetime]:
    """The times of the newest charge of each day for each of these values of a dimension."""
    rows = _range(account, period, dimension=dimension).rows(
        "select max(last_at) from parts where value = any(%(values)s) group by value, local::date",
        values=[text_of(value) for value in values],
    )
    return [at for (at,) in rows]


def interval_totals(
    account_id: UUID, *, start: datetime, end: datetime, group_by: str, interval: str, zone: ZoneInfo
) -> list[IntervalTotal]:
    """Totals from `start` (included) to `end` (excluded), ordered by time, then largest first.

    An empty `group_by` or `interval` does not divide the range that way. Raises TooManyRows.
    """
    wanted = Range(account_id, start=start, end=end, zone=zone, dimension=group_by, by_day=interval != "hour")
    rows = wanted.rows(
        f"""select {"date_trunc(%(interval)s, local)" if interval else "null::timestamp"} as start,
          {"value" if group_by else "''"} as value, coalesce(sum(credits), 0),
          coalesce(sum(charges), 0)::int
        from parts {"group by 1, 2" if interval or group_by else ""}
        order by 1, 3 desc, 2 limit %(limit)s""",
        interval=interval,
        limit=MAX_ROWS + 1,
    )
    if len(rows) > MAX_ROWS:
        raise TooManyRows
    return [
        IntervalTotal(
            start=local and local.replace(tzinfo=zone),
            group=public_key(group_by, _column_value(group_by, text)) or None,
            credits=credits,
            charges=charges,
        )
        for local, text, credits, charges in rows
    ]


def _range(
    account: Account,
    period: Period,
    *,
    dimension: str = "",
    filters: dict[str, Any] | None = None,
    by_day: bool = True,
) -> Range:
    return Range(
        account.pk,
        start=period.start,
        end=period.end,
        zone=period.zone,
        dimension=dimension,
        filters=filters,
        by_day=by_day,
    )


def _column_value(dimension: str, text: str) -> Any:
    """The column's value of a text that the sums store."""
    return (UUID(text) if text else None) if dimension in UUIDS else text


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
