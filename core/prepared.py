"""Statements that a process repeats: bound and prepared on the server.

Django's cursor binds parameters on the client, so that the server parses and plans each call anew.
Invariant: a statement runs in the transaction of Django's connection, and raises Django's database errors.
"""

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any
from uuid import UUID

import psycopg
from django.db import connection


def rows(statement: str, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """The rows of the statement."""
    connection.ensure_connection()
    with connection.wrap_database_errors, psycopg.Cursor(connection.connection) as cursor:
        return execute(cursor, statement, parameters).fetchall()


def execute(
    cursor: "psycopg.Cursor[Any]", statement: str, parameters: Mapping[str, Any]
) -> "psycopg.Cursor[Any]":
    """Run the statement in a cursor of Django's connection. Raises psycopg's errors."""
    run = partial(_execute, cursor)
    for wrapper in reversed(connection.execute_wrappers):  # as Django's cursor does
        run = partial(wrapper, run)
    context = {"connection": connection, "cursor": cursor}
    result: psycopg.Cursor[Any] = run(statement, parameters, False, context)
    return result


def _execute(
    cursor: "psycopg.Cursor[Any]", statement: str, parameters: Mapping[str, Any], *_: Any
) -> "psycopg.Cursor[Any]":
    try:
        # prepared from the first call on; not behind a pooler (config.pooler)
        return cursor.execute(statement, parameters, prepare=True)
    except psycopg.errors.FeatureNotSupported:
        # "cached plan must not change result type": a release has added an attribute to the result. The
        # statement has not run; this connection prepares none any more.
        connection.connection.prepare_threshold = None
        if connection.in_atomic_block:
            raise
        return cursor.execute(statement, parameters)


def array(ids: Iterable[UUID]) -> str:
    """The ids as a parameter of the type uuid[] (psycopg takes longer for a list)."""
    return f"{{{','.join(map(str, ids))}}}"
