"""Every time zone that can be selected is supported by Python and PostgreSQL."""

from zoneinfo import ZoneInfo

import pytest
from django.db import connection

from accounts import zones


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
    assert not zones.is_valid("Etc/GMT+5")
    assert not zones.is_valid("Mars/Phobos")
