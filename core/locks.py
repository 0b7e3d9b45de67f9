"""Taking turns across processes while Stripe is asked, when no row may be locked.

Invariant: a turn is an advisory lock of the database session: it ends with the process that has it, and no
transaction is open because of it.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection


@contextmanager
def turn(name: str) -> Iterator[None]:
    """Wait for one's turn to work on `name`."""
    with connection.cursor() as cursor:
        cursor.execute("select pg_advisory_lock(%s)", [_number(name)])
    try:
        yield
    finally:
        _end(name)


@contextmanager
def turn_if_free(name: str) -> Iterator[bool]:
    """The same without waiting: False when somebody else is at it."""
    with connection.cursor() as cursor:
        cursor.execute("select pg_try_advisory_lock(%s)", [_number(name)])
        free = bool(cursor.fetchone()[0])
    try:
        yield free
    finally:
        if free:
            _end(name)


def _end(name: str) -> None:
    if connection.connection is not None:  # lost with the connection: nothing to give back
        with connection.cursor() as cursor:
            cursor.execute("select pg_advisory_unlock(%s)", [_number(name)])


def _number(name: str) -> int:
    return int.from_bytes(hashlib.sha256(f"billing {name}".encode()).digest()[:8], "big", signed=True)
