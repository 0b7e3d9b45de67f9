"""Refused calls of a time: whole hours, those that had a call in it."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from core import refusals
from core.refusals import Group
from usage.refusals import reading, storing

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
ACCOUNT = UUID(int=1)
MINUTE = timedelta(minutes=1)


@pytest.mark.django_db
@pytest.mark.parametrize(("minute", "calls"), [(-60, 2), (0, 2), (11, 2), (40, 2), (41, 0), (70, 0)])
def test_an_hour_counts_whole_until_its_last_call(minute: int, calls: int) -> None:
    for at in (NOON + 10 * MINUTE, NOON + 40 * MINUTE):
        group = Group(account_id=ACCOUNT, hour=refusals.hour_of(at), code="insufficient_credits")
        refusals.counts.add(group, {}, at)
    storing.store_counted()
    since = NOON + minute * MINUTE
    assert sum(group.calls for group in reading.groups(ACCOUNT, since=since)) == calls
    assert reading.number(ACCOUNT, since=since) == calls
    assert bool(reading.reasons_and_keys(ACCOUNT, since=since)[0]) == bool(calls)
