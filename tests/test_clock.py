"""The clock of a run: every test starts at the same moment, and child processes use the same clock."""

import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import time_machine
from django.utils import timezone

from accounts.models import Account, User
from tests import clock as run_clock


@pytest.mark.fault("O10")
def test_a_run_may_start_on_a_leap_day_at_the_end_of_a_year_and_before_a_clock_change() -> None:
    moments = [datetime.fromisoformat(text) for text in run_clock.MOMENTS]
    assert {(2, 29), (12, 31), (1, 31)} <= {(moment.month, moment.day) for moment in moments}

    def offset(moment: datetime, zone: str) -> timedelta | None:
        return moment.astimezone(ZoneInfo(zone)).utcoffset()

    for zone in ("Europe/Berlin", "America/New_York"):
        soon = [(offset(moment, zone), offset(moment + timedelta(minutes=2), zone)) for moment in moments]
        assert {before < after for before, after in soon if before != after} == {True, False}, zone


@pytest.mark.parametrize("attempt", [1, 2])
def test_every_test_starts_at_the_moment_of_the_run(attempt: int) -> None:
    moment = run_clock.parsed(run_clock.moment())
    assert timedelta(0) <= timezone.now() - moment < timedelta(seconds=60)
    with time_machine.travel(moment + timedelta(days=400)):
        assert timezone.now() - moment >= timedelta(days=400)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2028-02-29", datetime(2028, 2, 29, 12, tzinfo=UTC)),
        ("2027-03-28T00:59:50Z", datetime(2027, 3, 28, 0, 59, 50, tzinfo=UTC)),
        ("2027-03-28T02:59:50+02:00", datetime(2027, 3, 28, 0, 59, 50, tzinfo=UTC)),
        ("2027-03-28T00:59", datetime(2027, 3, 28, 0, 59, tzinfo=UTC)),
    ],
)
def test_a_date_means_its_noon_and_a_time_is_utc(text: str, moment: datetime) -> None:
    assert run_clock.parsed(text) == moment


def test_the_clock_fixture_is_set_before_the_account_is_opened(
    alice: User, account_of: Any, clock: Any
) -> None:
    assert account_of(alice).created_at == datetime(2026, 11, 20, 12, tzinfo=UTC)
    assert Account.objects.filter(created_at__gt=timezone.now()).count() == 0


def test_a_child_process_uses_the_clock_of_the_test() -> None:
    code = "from tests import clock; clock.follow(); import time; print(time.time())"
    environment = os.environ | run_clock.environment()
    started = time.time()
    child = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=True)
    assert started - 1 <= float(child.stdout) <= time.time() + 1
