"""Advisory locks across processes, for work that calls other services and so may hold no row lock.

Invariant: a lock belongs to the database session: it ends with the process that holds it, and no transaction
is open because of it.
PostgreSQL: https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection

LONGEST_WAIT = "120s"


@contextmanager
def lock(name: str) -> Iterator[None]:
    """Wait for the lock on `name` and hold it for the block.

    The wait is limited to LONGEST_WAIT and not by the timeouts of the session, which are shorter than a call
    to Stripe with its retries. Raises OperationalError after it.
    """
    with connection.cursor() as cursor:
        cursor.execute(f"set lock_timeout = '{LONGEST_WAIT}'")
        cursor.execute("set statement_timeout = 0")
        try:
            cursor.execute("select pg_advisory_lock(%s)", [_number(name)])
        finally:
            cursor.execute("reset lock_timeout")
            cursor.execute("reset statement_timeout")
    try:
        yield
    finally:
        _release(name)


@contextmanager
def try_lock(name: str) -> Iterator[bool]:
    """Hold the lock on `name` for the block if it is free; yields False without waiting if it is taken."""
    with connection.cursor() as cursor:
        cursor.execute("select pg_try_advisory_lock(%s)", [_number(name)])
        free = bool(cursor.fetchone()[0])
    try:
        yield free
    finally:
        if free:
            _release(name)


def _release(name: str) -> None:
    if connection.connection is not None:  # a lost connection has released its locks already
        with connection.cursor() as cursor:
            cursor.execute("select pg_advisory_unlock(%s)", [_number(name)])


def _number(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)
