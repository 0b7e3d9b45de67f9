"""Daily work begins once a day, also when many processes ask at once."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection

from core import daily
from core.models import DailyRun

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
INSTANT = timedelta(microseconds=1)


def test_it_begins_when_it_never_ran_and_a_day_after_the_last_time(db: None) -> None:
    assert [daily.begin("work", NOON), daily.begin("other", NOON), daily.begin("work", NOON)] == [
        True,
        True,
        False,
    ]
    assert not daily.begin("work", NOON + daily.EVERY - INSTANT)
    assert daily.begin("work", NOON + daily.EVERY)
    assert not daily.begin("work", NOON + daily.EVERY + timedelta(hours=1))


def test_a_start_far_in_the_future_does_not_count(db: None) -> None:
    """A process whose clock was ahead would delay the work for as long."""
    assert daily.begin("work", NOON + timedelta(days=365))
    assert daily.begin("work", NOON)
    assert not daily.begin("work", NOON)
    assert not daily.begin("work", NOON - timedelta(seconds=1)), "clocks differ a little"


@pytest.mark.fault("C1")
@pytest.mark.django_db(transaction=True)
def test_of_concurrent_requests_one_begins() -> None:
    def begin(_number: int) -> bool:
        try:
            return daily.begin("work", NOON)
        finally:
            connection.close()

    for _round in range(3):
        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(begin, range(8))) == 1
        DailyRun.objects.update(began_at=NOON - daily.EVERY)
