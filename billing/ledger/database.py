"""Calls of the ledger's SQL functions: one round trip each, prepared on the server.

Django's own cursor binds parameters on the client, which keeps the server from reusing a plan; the
ledger speaks to the same connection through a psycopg cursor that binds on the server.
"""

from collections.abc import Sequence
from typing import Any

import psycopg
from django.db import connection
from psycopg.rows import dict_row
from psycopg.types.json import JsonbLoader

from billing.ledger.errors import UnknownWallet

NO_WALLET = "RF404"


def rows(statement: str, parameters: Sequence[Any]) -> list[dict[str, Any]]:
    """The rows that the statement answers. Raises UnknownWallet; database errors come as Django's own."""
    connection.ensure_connection()
    with connection.wrap_database_errors, _cursor() as cursor:
        try:
            # a process calls the same few statements for ever, so they are prepared from the first on
            return cursor.execute(statement, parameters, prepare=True).fetchall()
        except psycopg.Error as error:
            if error.sqlstate == NO_WALLET:
                raise UnknownWallet(parameters[0]) from None
            raise


def row(statement: str, parameters: Sequence[Any]) -> dict[str, Any]:
    """The one row that the statement answers."""
    return rows(statement, parameters)[0]


def _cursor() -> psycopg.Cursor[dict[str, Any]]:
    cursor = psycopg.Cursor(connection.connection, row_factory=dict_row)
    # Django has jsonb come as text, for its JSONField to decode; here it comes decoded
    cursor.adapters.register_loader("jsonb", JsonbLoader)
    return cursor
