"""Reads sums of charges in a range of time: stored days, and single charges where no stored day is whole.

Invariant: one statement reads both, so that a charge or a reversal is counted once while sums are being
stored.

What is stored is what happened before the account's `summed.until`: charges, and what reversals returned of
them. A range adds to its whole days: the charges since then, those of its first and last day where these are
not whole, and what has been returned since then of charges that are in the days. An account without sums, or
with sums of the days of another zone, reads single charges only.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db import connection

from accounts import zones
from usage.sums import columns

_PARTS = """
with summed as materialized (
  select coalesce((select s.until from usage_summedaccount s
                    where s.account_id = %(account)s and s.zone = %(zone)s and %(by_day)s),
                  '-infinity') as until
), parts as (
  select u.day::timestamp as local, u.value, u.credits, u.charges, u.last_at
    from usage_usagesum u
   where u.account_id = %(account)s and u.dimension = %(dimension)s
     and u.day >= %(first_day)s and u.day < %(end_day)s
     and (select until from summed) > '-infinity' {only_sums}
  union all
  select c.created_at at time zone %(zone)s, {value}, c.credits - c.uncollected - c.returned, 1, c.created_at
    from billing_charge c
   where c.account_id = %(account)s and c.created_at >= greatest(%(start)s, (select until from summed))
     and c.created_at < %(end)s {only}
  union all
  select c.created_at at time zone %(zone)s, {value}, c.credits - c.uncollected - c.returned, 1, c.created_at
    from billing_charge c
   where c.account_id = %(account)s and c.created_at >= %(start)s
     and c.created_at < least(%(whole_start)s, (select until from summed)) {only}
  union all
  select c.created_at at time zone %(zone)s, {value}, c.credits - c.uncollected - c.returned, 1, c.created_at
    from billing_charge c
   where c.account_id = %(account)s and c.created_at >= %(whole_end)s
     and c.created_at < least(%(end)s, (select until from summed)) {only}
  union all
  select c.created_at at time zone %(zone)s, {value}, -x.credits, 0, c.created_at
    from billing_correction x join billing_charge c on c.account_id = x.account_id and c.id = x.charge_id
   where (select until from summed) > '-infinity' and x.account_id = %(account)s and x.kind = 'reverse'
     and x.created_at >= (select until from summed) and c.created_at >= %(whole_start)s
     and c.created_at < least(%(whole_end)s, (select until from summed)) {only}
)
"""


class Range:
    """Charges of an account from `start` (included) to `end` (excluded), and what they are summed by.

    `dimension`: a key of DIMENSIONS, or "" where values do not matter. `filters`: at most one column of
    Charge with its value. `by_day`: whether whole days of the zone can be used.
    """

    def __init__(
        self,
        account_id: UUID,
        *,
        start: datetime,
        end: datetime,
        zone: ZoneInfo,
        dimension: str = "",
        filters: dict[str, Any] | None = None,
        by_day: bool = True,
    ) -> None:
        [(column, value)] = (filters or {"": None}).items()
        named = columns.BY_COLUMN.get(column, "")
        self._dimension = dimension or named
        whole = _whole_days(start, end, zone)
        self._parameters: dict[str, Any] = {
            "account": account_id,
            "start": start,
            "end": end,
            "zone": str(zone),
            "dimension": self._dimension,
            # sums of one dimension do not tell those of two
            "by_day": by_day and named in ("", self._dimension),
            "only": value,
            "only_text": columns.text_of(value),
            **whole,
        }
        only = f"and c.{column} is not distinct from %(only)s" if named else ""
        self._parts = _PARTS.format(
            value=columns.expression(self._dimension),
            only=only,
            only_sums="and u.value = %(only_text)s" if named else "",
        )

    def rows(self, select: str, **parameters: Any) -> list[Sequence[Any]]:
        """The rows of a statement over `parts` (local, value, credits, charges, last_at)."""
        with connection.cursor() as cursor:
            cursor.execute(self._parts + select, self._parameters | parameters)
            return list(cursor.fetchall())


def _whole_days(start: datetime, end: datetime, zone: ZoneInfo) -> dict[str, Any]:
    """The whole local days between two instants: dates and instants, the ends excluded; maybe none."""
    first, last = start.astimezone(zone).date(), end.astimezone(zone).date()
    if zones.midnight(first, zone) < start:
        first += timedelta(days=1)
    if first >= last:
        return {"first_day": first, "end_day": first, "whole_start": end, "whole_end": end}
    return {
        "first_day": first,
        "end_day": last,
        "whole_start": zones.midnight(first, zone),
        "whole_end": zones.midnight(last, zone),
    }
