"""Time zones: one list for every way in, and one rule for midnight in Python and PostgreSQL."""

import datetime as dt
from zoneinfo import ZoneInfo

import pytest
from django.conf import settings
from django.db import connection

from accounts import checks, zones

DAY = dt.timedelta(days=1)
FIRST, LAST = dt.datetime(2020, 1, 1, tzinfo=dt.UTC), dt.datetime(2035, 12, 31, tzinfo=dt.UTC)


@pytest.mark.fault("T8")
def test_every_offered_zone_exists_in_python_and_postgresql(db):
    for name in zones.names():
        ZoneInfo(name)
    with connection.cursor() as cursor:
        cursor.execute(
            "select zone from unnest(%s::text[]) as offered(zone)"
            " where not exists (select from pg_timezone_names where name = offered.zone)",
            [list(zones.names())],
        )
        assert cursor.fetchall() == []


def test_zones_of_places_are_offered_and_fixed_offsets_are_not():
    for name in ("UTC", "Asia/Kathmandu", "Pacific/Kiritimati", "Europe/Berlin", "America/Sao_Paulo"):
        assert zones.is_valid(name)
    for name in ("Etc/GMT+5", "Mars/Phobos", "posix/Europe/Berlin", "right/UTC", "europe/berlin", "utc"):
        assert not zones.is_valid(name)


def days_with_changes():
    """A zone of each set of rules, with the local dates near a change of its clocks.

    A change is seen in the offset at noon of each third day. Many names are links to the same rules.
    """
    noon = [FIRST + n * 3 * DAY for n in range((LAST - FIRST) // (3 * DAY))]
    by_rules = {}
    for name in zones.names():
        by_rules.setdefault(tuple(at.astimezone(ZoneInfo(name)).utcoffset() for at in noon), name)
    for offsets, name in by_rules.items():
        changed = [noon[n].date() for n in range(1, len(noon)) if offsets[n] != offsets[n - 1]]
        for day in sorted({day + n * DAY for day in changed for n in range(-4, 2)}):
            yield name, day


@pytest.mark.fault("T8")
def test_a_local_day_begins_at_the_same_instant_in_python_and_postgresql(db):
    """All zones, all changes of clocks from 2020 to 2035; so do limits' windows and allowances' days."""
    # Python reads the files of the embedded PostgreSQL; another one has its own copy of the IANA database
    differing = checks.differences(zones.names(), first=FIRST, last=LAST)
    if "DATABASE_URL" in settings.GIVEN:
        assert len(differing) < 10, differing
    else:  # of one week of 2022 Python and PostgreSQL make different things from the same file
        assert differing.keys() <= {"America/Ojinaga"}, differing
    asked = [(name, day) for name, day in days_with_changes() if name not in differing]
    assert len(asked) > 5000
    statement = """select ledger_midnight(day, zone), (w).starts_at, (w).ends_at, (p).starts_at, (p).ends_at
      from unnest(%s::text[], %s::date[]) x(zone, day),
           lateral (select ledger_midnight(day, zone) + interval '12 hours' as noon) n,
           lateral ledger_window('day', zone, noon) w,
           lateral ledger_period('day', noon, zone, zone, noon) p"""
    with connection.cursor() as cursor:
        cursor.execute(statement, [[name for name, _ in asked], [day for _, day in asked]])
        for (name, day), found in zip(asked, cursor.fetchall(), strict=True):
            starts = zones.midnight(day, ZoneInfo(name))
            ends = zones.midnight(day + DAY, ZoneInfo(name))
            assert found == (starts, starts, ends, starts, ends), (name, day)
            assert starts.astimezone(ZoneInfo(name)).date() == day
            assert (starts - dt.timedelta(microseconds=1)).astimezone(ZoneInfo(name)).date() < day


@pytest.mark.fault("T8")
@pytest.mark.parametrize(
    ("zone", "day", "begins"),
    [
        ("America/Havana", dt.date(2026, 11, 1), "2026-11-01T04:00:00+00:00"),  # 01:00 becomes 00:00
        ("Atlantic/Azores", dt.date(2026, 10, 25), "2026-10-25T00:00:00+00:00"),  # 01:00 becomes 00:00
        ("America/Havana", dt.date(2026, 3, 8), "2026-03-08T05:00:00+00:00"),  # 00:00 becomes 01:00
        ("America/Santiago", dt.date(2026, 4, 5), "2026-04-05T04:00:00+00:00"),  # 24:00 becomes 23:00
    ],
)
def test_an_ambiguous_midnight_is_the_first_and_a_missing_one_the_change(db, zone, day, begins):
    assert zones.midnight(day, ZoneInfo(zone)).isoformat() == begins
    with connection.cursor() as cursor:
        cursor.execute("select ledger_midnight(%s, %s)", [day, zone])
        assert cursor.fetchone()[0].isoformat() == begins


def test_the_check_names_zones_that_differ(db, alice, account_of, monkeypatch):
    account = account_of(alice)
    account.zone = "Europe/Berlin"
    account.save()
    assert checks.zone_data(["default"]) == []
    assert checks.zone_data() == [], "without --database the check does not connect"
    monkeypatch.setattr(checks, "_seconds", lambda at, zone: 0)
    (warning,) = checks.zone_data(["default"])
    assert "Europe/Berlin" in warning.msg and "offset" in warning.msg and "tzdata" in warning.hint
    found = checks.differences(["Mars/Phobos"], first=FIRST, last=LAST)
    assert found == {"Mars/Phobos": "Python does not know it"}
