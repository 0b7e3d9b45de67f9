"""Counted refusals are added to the rows of their hour, in a transaction of their own."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from core import refusals
from core.refusals import Group
from usage.models import RefusedCalls
from usage.refusals import storing

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
ACCOUNT, OTHER = UUID(int=1), UUID(int=2)
MINUTE = timedelta(minutes=1)


def refuse(account_id: UUID = ACCOUNT, now: datetime = NOON, **figures: str) -> None:
    group = Group(account_id=account_id, hour=refusals.hour_of(now), code="insufficient_credits")
    refusals.counts.add(group, figures, now)


@pytest.mark.django_db
def test_counts_of_several_processes_are_one_row_for_each_hour() -> None:
    refuse(needed="1")
    refuse(now=NOON + 2 * MINUTE, needed="3")
    storing.store_counted()
    refuse(now=NOON + MINUTE, needed="2")  # another process stores an earlier call later
    refuse(OTHER)
    refuse(now=NOON + 60 * MINUTE, needed="4")
    storing.store_counted()

    first, second = RefusedCalls.objects.filter(account_id=ACCOUNT).order_by("hour")
    assert (first.calls, first.first_at, first.last_at) == (3, NOON, NOON + 2 * MINUTE)
    assert first.figures == {"needed": "3"}, "of the last call"
    assert (second.calls, second.hour) == (1, NOON + 60 * MINUTE)
    assert RefusedCalls.objects.get(account_id=OTHER).calls == 1


@pytest.mark.django_db
def test_one_statement_stores_many_groups_and_none_when_nothing_was_refused() -> None:
    for number in range(100):
        refuse(UUID(int=number))
    with CaptureQueriesContext(connection) as queries:
        storing.store_counted()
        storing.store_counted()
    assert len(queries) == 1
    assert RefusedCalls.objects.count() == 100


@pytest.mark.django_db(transaction=True)
def test_a_process_stores_what_it_has_counted_when_it_ends() -> None:
    running = storing.Storing()
    running.start()
    refuse()
    running.end()
    assert RefusedCalls.objects.get().calls == 1


@pytest.mark.django_db(transaction=True)
def test_counts_that_the_database_does_not_take_fail_nothing() -> None:
    too_long = Group(account_id=ACCOUNT, hour=NOON, code="x" * 61)
    refusals.counts.add(too_long, {}, NOON)
    storing.store_counted()
    refuse(OTHER)
    storing.store_counted()
    assert RefusedCalls.objects.get().account_id == OTHER
