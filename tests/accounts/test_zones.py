"""Every zone that can be chosen is one in which the ledger can count days."""

from zoneinfo import ZoneInfo

import pytest
from django.db import connection

from accounts import zones


@pytest.mark.fault("T8")
def test_python_and_postgresql_know_every_zone_that_is_offered(db):
    for name in zones.names():
        ZoneInfo(name)
    with connection.cursor() as cursor:
        cursor.execute(
            "select zone from unnest(%s::text[]) as offered(zone)"
            " where not exists (select from pg_timezone_names where name = offered.zone)",
            [list(zones.names())],
        )
        assert cursor.fetchall() == []


def test_the_zones_people_live_in_are_offered():
    for name in ("UTC", "Asia/Kathmandu", "Pacific/Kiritimati", "Europe/Berlin", "America/Sao_Paulo"):
        assert zones.is_valid(name)
    assert not zones.is_valid("Etc/GMT+5")
    assert not zones.is_valid("Mars/Phobos")
