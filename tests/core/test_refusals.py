"""Refused requests are counted by group and hour in the process, within bounds."""

import threading
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from core import refusals
from core.refusals import Counts, Group

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
ACCOUNT = UUID(int=1)


def group(account_id: UUID = ACCOUNT, hour: datetime = NOON, **fields: str) -> Group:
    return Group(account_id=account_id, hour=hour, code="limit_reached", **fields)


def test_a_flood_of_one_group_is_one_count_with_the_figures_of_the_last_call() -> None:
    counts = Counts()
    for second in range(1000):
        counts.add(group(), {"needed": str(second)}, NOON + timedelta(seconds=second))
    [(_group, count)] = counts.take(10)
    assert (count.calls, count.figures) == (1000, {"needed": "999"})
    assert (count.first_at, count.last_at) == (NOON, NOON + timedelta(seconds=999))
    assert counts.take(10) == []


def test_the_groups_of_an_account_are_bounded_for_an_hour_also_when_they_are_stored_meanwhile() -> None:
    counts, taken = Counts(), []
    for number in range(1000):
        counts.add(group(service=f"model-{number}"), {}, NOON)
        if number % 100 == 0:
            taken += counts.take(1000)
    taken += counts.take(1000)
    rows = {one for one, _count in taken}
    assert len(rows) == refusals.MOST_GROUPS_OF_ACCOUNT + 1
    assert sum(count.calls for _group, count in taken) == 1000, "all are counted"
    assert sum(count.calls for one, count in taken if not one.service) == 800
    counts.add(group(service="new", hour=NOON + timedelta(hours=1)), {}, NOON)
    assert [one.service for one, _count in counts.take(10)] == ["new"], "the next hour has its own"


def test_the_groups_of_all_accounts_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refusals, "MOST_GROUPS", 50)
    counts = Counts()
    for _number in range(60):
        counts.add(group(uuid4()), {}, NOON)
    counts.add(group(uuid4(), hour=NOON + timedelta(hours=1)), {}, NOON)
    assert len(counts.take(1000)) == 51


def test_threads_lose_no_count() -> None:
    counts = Counts()
    threads = [
        threading.Thread(target=lambda: [counts.add(group(), {}, NOON) for _number in range(2000)])
        for _thread in range(4)
    ]
    for thread in threads:
        thread.start()
    taken = [pair for _number in range(50) for pair in counts.take(10)]
    for thread in threads:
        thread.join()
    taken += counts.take(10)
    assert sum(count.calls for _group, count in taken) == 8000
