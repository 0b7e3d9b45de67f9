"""Requests in a time window are limited exactly, over threads and processes."""

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone

from accounts import api_keys
from accounts.models import ApiKey, User
from core import rate_limit
from core.rate_limit import Allowance, Rate, take, take_at_once

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def no_leases() -> Iterator[None]:
    rate_limit._leases.clear()
    yield
    rate_limit._leases.clear()


def test_requests_above_the_limit_are_refused(db: None) -> None:
    rate = Rate(3, 60)
    outcomes = [take("someone", NOON + timedelta(seconds=20), rate) for _ in range(5)]
    assert [outcome.passes for outcome in outcomes] == [True, True, True, False, False]
    assert [outcome.remaining for outcome in outcomes] == [2, 1, 0, 0, 0]
    assert outcomes[0].headers() == {
        "RateLimit-Policy": '"default";q=3;w=60',
        "RateLimit": '"default";r=2;t=40',
    }
    assert outcomes[4].headers()["Retry-After"] == "40"
    assert take("another", NOON, rate).passes


def test_a_new_window_starts_a_new_count(db: None) -> None:
    rate = Rate(1, 60)
    assert take("someone", NOON, rate).passes
    assert not take("someone", NOON + timedelta(seconds=59), rate).passes
    assert take("someone", NOON + timedelta(seconds=60), rate).passes


def test_processes_share_one_count(db: None) -> None:
    rate = Rate(200, 60)  # counted in blocks of two
    assert take("someone", NOON, rate).passes
    passed = 1
    for _other_process in range(300):
        rate_limit._leases.clear()
        passed += take("someone", NOON, rate).passes
    assert passed <= 200


@pytest.mark.fault("I5")
@pytest.mark.django_db(transaction=True)
def test_of_200_concurrent_requests_100_pass() -> None:
    passed: list[bool] = []
    start = threading.Barrier(20)

    def call() -> None:
        try:
            start.wait()
            passed.extend(take("someone", NOON, Rate(100, 60)).passes for _ in range(10))
        finally:
            connection.close()

    threads = [threading.Thread(target=call) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(passed) == 100


@pytest.mark.django_db(transaction=True)
def test_a_caller_whose_counter_is_locked_delays_no_other() -> None:
    rate = Rate(1, 60)
    assert take("someone", NOON, rate).passes
    passed: list[str] = []

    def call(identity: str) -> None:
        try:
            if take(identity, NOON + timedelta(seconds=60), rate).passes:
                passed.append(identity)
        finally:
            connection.close()

    someone, another = (threading.Thread(target=call, args=(name,)) for name in ("someone", "another"))
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("select from core_ratewindow for update")
        someone.start()
        waits, until = False, time.monotonic() + 30
        while not waits and time.monotonic() < until:
            cursor.execute(  # for this connection: the server has locks of other processes of the suite, too
                "select exists (select from pg_locks"
                " where not granted and pg_backend_pid() = any(pg_blocking_pids(pid)))"
            )
            waits = cursor.fetchone()[0]
        another.start()
        another.join(60)
        assert waits
        assert passed == ["another"]
    someone.join()
    assert passed == ["another", "someone"]


@pytest.mark.django_db(transaction=True)
def test_a_thread_of_several_callers_does_not_wait_for_a_counter_that_is_locked() -> None:
    found: list[Allowance | None] = []

    def count() -> None:
        try:
            found.append(take_at_once("someone", NOON, Rate(2, 60)))
        finally:
            connection.close()

    count()

    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("select from core_ratewindow for update")
        other = threading.Thread(target=count)
        other.start()
        other.join(60)
    count()
    count()
    passes = [None if one is None else one.passes for one in found]
    assert passes == [True, None, True, False], "what was not counted has used nothing up"


@pytest.mark.fault("I5")
def test_the_limit_of_the_api_applies_to_the_key_and_not_to_the_address(
    api_of: Any, alice: User, settings: Any, catalogue: None
) -> None:
    settings.API_RATE = "2/3600"
    api = api_of(alice)
    first = api.get("balance")
    assert first["RateLimit-Policy"] == '"default";q=2;w=3600'
    assert first["RateLimit"].startswith('"default";r=1;t=')
    assert api.client.get("/api/v1/balance", headers={"X-Forwarded-For": "10.0.0.1"}).status_code == 200
    refused = api.client.get("/api/v1/balance", headers={"X-Forwarded-For": "10.0.0.2"})
    assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
    assert int(refused["Retry-After"]) > 0
    assert refused["RateLimit"].startswith('"default";r=0;t=')


def test_permits_are_reserved_in_hundredths_of_the_quota_and_all_of_them_pass(db: None) -> None:
    rate = Rate(250, 60)  # in blocks of two
    outcomes = [take("someone", NOON, rate) for _ in range(252)]
    assert [outcome.passes for outcome in outcomes] == [True] * 250 + [False] * 2
    assert [outcome.remaining for outcome in outcomes] == [*range(249, -1, -1), 0, 0]
    rate_limit._leases.clear()  # another process
    assert not take("someone", NOON, rate).passes


def test_the_last_block_is_cut_to_the_quota(db: None) -> None:
    rate = Rate(201, 60)
    for _other_process in range(100):
        rate_limit._leases.clear()
        assert take("someone", NOON, rate).passes
    rate_limit._leases.clear()
    last = [take("someone", NOON, rate) for _ in range(2)]
    assert [(outcome.passes, outcome.remaining) for outcome in last] == [(True, 0), (False, 0)]


def test_a_process_whose_clock_is_behind_counts_in_the_window_of_the_others(db: None) -> None:
    rate = Rate(2, 60)
    later = NOON + timedelta(seconds=60)
    assert take("someone", later, rate).passes
    rate_limit._leases.clear()
    assert take("someone", NOON, rate).passes
    behind = take("someone", NOON, rate)
    assert (behind.passes, behind.reset_seconds) == (False, 120)


def test_windows_of_another_length_are_counted_separately(db: None) -> None:
    assert take("someone", NOON, Rate(1, 60)).passes
    assert not take("someone", NOON, Rate(1, 60)).passes
    assert take("someone", NOON, Rate(1, 3600)).passes
    assert take("someone", NOON, Rate(2, 60)).passes


@pytest.mark.parametrize(("second", "resets_in"), [(0, 60), (1, 59), (59, 1), (60, 60)])
def test_the_window_ends_at_a_multiple_of_its_length(db: None, second: int, resets_in: int) -> None:
    assert take("someone", NOON + timedelta(seconds=second), Rate(5, 60)).reset_seconds == resets_in


def test_old_counters_are_dropped_when_there_are_very_many(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limit, "LARGEST_CACHE", 2)
    for number in range(3):
        assert take(f"caller {number}", NOON, Rate(1, 60)).passes
    assert len(rate_limit._leases) == 1
    assert not take("caller 0", NOON, Rate(1, 60)).passes, "the database has the count"


def test_a_platform_key_has_no_limit_unless_one_is_set(platform_api: Any, settings: Any) -> None:
    settings.API_RATE = "1/3600"
    for _number in range(3):
        response = platform_api.get("services")
        assert response.status_code == 200
        assert "RateLimit" not in response
    settings.PLATFORM_API_RATE = "1/3600"
    assert [platform_api.get("services").status_code for _number in range(2)] == [200, 429]


def test_a_key_with_a_limit_of_its_own_has_that_one(settings: Any) -> None:
    settings.API_RATE = settings.PLATFORM_API_RATE = "1000/60"
    own = {"requests_per_minute": 7}
    assert rate_limit.rate_of(is_platform=True, **own) == Rate(7, 60)
    assert rate_limit.rate_of(is_platform=False, **own) == Rate(7, 60)
    assert rate_limit.rate_of(is_platform=False, requests_per_minute=None) == Rate(1000, 60)
    settings.API_RATE = ""
    assert rate_limit.rate_of(is_platform=False, requests_per_minute=None) is None


@pytest.mark.django_db
def test_a_limit_that_staff_set_counts_after_the_lease_of_the_key(clock: Any) -> None:
    issued = api_keys.issue(
        kind="platform", name="Backend", scopes=["read"], now=timezone.now(), requests_per_minute=2
    )
    assert api_keys.verify(issued.secret, timezone.now()).rate == Rate(2, 60)
    ApiKey.objects.update(requests_per_minute=None)
    api_keys._leases.clear()
    assert api_keys.verify(issued.secret, timezone.now()).rate is None
