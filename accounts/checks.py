"""System check: PostgreSQL and Python have the same rules for the time zones in use.

The ledger counts days in PostgreSQL, and pages show ranges of days that Python computes. Each has its own
copy of the IANA database. `manage.py migrate` and `manage.py check --database default` run this check.
"""

import datetime as dt
import zoneinfo
from collections.abc import Sequence
from typing import Any
from zoneinfo import ZoneInfo

from django.core import checks
from django.db import DatabaseError, connection

from accounts.models import Account

YEARS_AHEAD = 2
_UNKNOWN = """
    select z.name from unnest(%s::text[]) z(name)
     where not exists (select from pg_timezone_names known where known.name = z.name)
"""
_OFFSETS = """
    select z.name, array_agg(extract(epoch from (d.at at time zone z.name) - (d.at at time zone 'UTC'))::int
                             order by d.at)
      from unnest(%s::text[]) z(name),
           generate_series(%s::timestamptz, %s::timestamptz, interval '1 week') d(at)
     group by z.name
"""


def differences(names: Sequence[str], *, first: dt.datetime, last: dt.datetime) -> dict[str, str]:
    """What PostgreSQL and Python do not agree on, by zone: offsets from UTC are compared week by week."""
    known = zoneinfo.available_timezones()
    found = {name: "Python does not know it" for name in names if name not in known}
    python = {name: ZoneInfo(name) for name in names if name in known}
    weeks = [first + dt.timedelta(weeks=n) for n in range((last - first) // dt.timedelta(weeks=1) + 1)]
    with connection.cursor() as cursor:
        cursor.execute(_UNKNOWN, [list(python)])
        found.update({name: "PostgreSQL does not know it" for (name,) in cursor.fetchall()})
        cursor.execute(_OFFSETS, [[name for name in python if name not in found], weeks[0], weeks[-1]])
        for name, offsets in cursor.fetchall():
            ours = [_seconds(week, python[name]) for week in weeks]
            if ours != offsets:
                week = next(week for week, a, b in zip(weeks, ours, offsets, strict=True) if a != b)
                found[name] = f"the offset from UTC differs in the week of {week:%Y-%m-%d}"
    return found


def _seconds(at: dt.datetime, zone: ZoneInfo) -> int:
    offset = at.astimezone(zone).utcoffset()
    assert offset is not None
    return int(offset.total_seconds())


def zone_data(databases: Sequence[str] | None = None, **options: Any) -> list[checks.CheckMessage]:
    """Warn about each zone of an account for which the two copies of the IANA database differ."""
    if not databases or "default" not in databases:
        return []
    try:
        in_use = list(Account.objects.order_by("zone").values_list("zone", flat=True).distinct())
        now = dt.datetime.now(dt.UTC)
        first = now.replace(hour=0, minute=0, second=0, microsecond=0)
        last = first + dt.timedelta(days=366 * YEARS_AHEAD)
        found = differences(in_use, first=first, last=last)
    except DatabaseError:
        return []  # before the first migration, or without a database: other checks report that
    return [
        checks.Warning(
            f"PostgreSQL and Python have different rules for the time zone {name}: {difference}.",
            hint="Update the operating system's tzdata on the host of PostgreSQL and on this host.",
            id="refill.W001",
        )
        for name, difference in sorted(found.items())
    ]


def register() -> None:
    checks.register(zone_data, checks.Tags.database)
