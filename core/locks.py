"""Locks across processes, for work that calls other services and so may hold no transaction open.

A lock belongs to the database session: it ends with the process that holds it. Behind PgBouncer in
transaction mode clients share the sessions (https://www.pgbouncer.org/features.html); there a lock is a row
with an expiry (a lease), and that of a killed process ends after LEASE.
Invariant: at most one process holds a lock, as long as no holder of a lease works longer than LEASE.
"""

import hashlib
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from django.conf import settings
from django.db import OperationalError, connection
from django.utils import timezone

# Longer than a holder works: a request to Stripe with its retries, or a task (CELERY_TASK_TIME_LIMIT).
LEASE = timedelta(seconds=150)
LONGEST_WAIT_SECONDS = 120.0
POLL_SECONDS = 0.05

_TAKE = """insert into core_lease(id, holder, expires_at) values (%s, %s, %s)
  on conflict (id) do update set holder = excluded.holder, expires_at = excluded.expires_at
  where core_lease.expires_at <= %s"""


@contextmanager
def lock(name: str) -> Iterator[None]:
    """Wait for the lock on `name` and hold it for the block.

    Raises OperationalError after LONGEST_WAIT_SECONDS.
    """
    holder = uuid.uuid4()
    for _attempt in range(int(LONGEST_WAIT_SECONDS / POLL_SECONDS)):
        if _take(name, holder):
            break
        time.sleep(POLL_SECONDS)
    else:
        raise OperationalError(f"the lock on {name!r} was not free for {LONGEST_WAIT_SECONDS:.0f} s")
    try:
        yield
    finally:
        _release(name, holder)


@contextmanager
def try_lock(name: str) -> Iterator[bool]:
    """Hold the lock on `name` for the block if it is free; yields False without waiting if it is taken."""
    holder = uuid.uuid4()
    free = _take(name, holder)
    try:
        yield free
    finally:
        if free:
            _release(name, holder)


def try_lock_in_transaction(name: str) -> bool:
    """Hold the lock on `name` until the transaction ends; False if it is taken.

    Do not use one name for it and for `lock` or `try_lock`.
    """
    assert connection.in_atomic_block
    with connection.cursor() as cursor:
        cursor.execute("select pg_try_advisory_xact_lock(%s)", [_number(name)])
        return bool(cursor.fetchone()[0])


def lock_in_transaction(name: str) -> None:
    """Wait for the lock on `name` and hold it until the transaction ends.

    Do not use one name for it and for `lock` or `try_lock`.
    """
    assert connection.in_atomic_block
    with connection.cursor() as cursor:
        cursor.execute("select pg_advisory_xact_lock(%s)", [_number(name)])


def _take(name: str, holder: uuid.UUID) -> bool:
    now = timezone.now()
    with connection.cursor() as cursor:
        if not settings.DATABASE_POOLER:
            cursor.execute("select pg_try_advisory_lock(%s)", [_number(name)])
            return bool(cursor.fetchone()[0])
        cursor.execute(_TAKE, [_number(name), holder, now + LEASE, now])
        return bool(cursor.rowcount == 1)


def _release(name: str, holder: uuid.UUID) -> None:
    if not settings.DATABASE_POOLER:
        if connection.connection is not None:  # a lost connection has released its locks already
            with connection.cursor() as cursor:
                cursor.execute("select pg_advisory_unlock(%s)", [_number(name)])
        return
    if connection.in_atomic_block and connection.needs_rollback:
        return  # the rollback removes the row
    with connection.cursor() as cursor:
        cursor.execute("delete from core_lease where id = %s and holder = %s", [_number(name), holder])


def _number(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)
