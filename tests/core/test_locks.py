"""Advisory locks: one holder at a time, waiting or not."""

import threading
import time

import pytest
from django.db import connection

from core import locks

pytestmark = pytest.mark.django_db(transaction=True)


def hold(name: str, held: threading.Event, release: threading.Event) -> None:
    try:
        with locks.lock(name):
            held.set()
            release.wait(timeout=60)
    finally:
        connection.close()


@pytest.fixture
def holder():
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


def test_waiting_for_a_lock_is_not_limited_by_the_timeouts_of_the_session(holder):
    with connection.cursor() as cursor:
        cursor.execute("set lock_timeout = '50ms'")
        cursor.execute("set statement_timeout = '50ms'")
    threading.Timer(0.3, holder.set).start()
    started = time.monotonic()
    with locks.lock("report"):
        assert time.monotonic() - started >= 0.2
