"""Locks: one holder at a time, waiting or not; the lock of a killed process ends."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import time_machine
from django.db import OperationalError, connection, transaction
from django.utils import timezone

from core import locks

pytestmark = pytest.mark.django_db(transaction=True)


def hold(name: str, held: threading.Event, release: threading.Event) -> None:
    try:
        with locks.lock(name):
            held.set()
            release.wait(timeout=60)
    finally:
        connection.close()


@pytest.fixture(params=["", "transaction"])
def holder(request, settings):
    settings.DATABASE_POOLER = request.param
    held, release = threading.Event(), threading.Event()
    thread = threading.Thread(target=hold, args=("report", held, release))
    thread.start()
    assert held.wait(timeout=60)
    yield release
    release.set()
    thread.join(timeout=60)


def test_a_taken_lock_is_not_waited_for_on_request(holder):
    with locks.try_lock("report") as free:
        assert not free
    with locks.try_lock("another") as free:
        assert free


def test_a_lock_is_waited_for(holder):
    released = []

    def release():
        released.append(True)
        holder.set()

    threading.Timer(0.3, release).start()
    with locks.lock("report"):
        assert released


def test_waiting_ends_with_an_error(holder, monkeypatch):
    monkeypatch.setattr(locks, "LONGEST_WAIT_SECONDS", 0.1)
    with pytest.raises(OperationalError, match="report"), locks.lock("report"):
        raise AssertionError("two hold the lock")


def test_behind_a_pooler_the_lock_of_a_killed_process_ends_and_its_late_release_frees_no_other_holder(
    settings,
):
    settings.DATABASE_POOLER = "transaction"
    first = locks.try_lock("report")
    assert first.__enter__()
    with time_machine.travel(timezone.now() + locks.LEASE), locks.try_lock("report") as free:
        assert free
        first.__exit__(None, None, None)
        with locks.try_lock("report") as free_again:
            assert not free_again


def test_a_lock_of_a_transaction_ends_with_it():
    with ThreadPoolExecutor() as pool:
        with transaction.atomic():
            assert locks.try_lock_in_transaction("report")
            assert not pool.submit(is_free).result()
        assert pool.submit(is_free).result()


def is_free() -> bool:
    try:
        with transaction.atomic():
            return locks.try_lock_in_transaction("report")
    finally:
        connection.close()
