"""Calls of the ledger's SQL functions: one round trip each, with parameters by name.

Django's cursor binds parameters on the client, which keeps the server from reusing a plan. The ledger uses a
psycopg cursor on the same connection, which binds on the server.
Invariant: a call runs in the transaction of Django's connection and raises Django's database errors.
"""

from collections.abc import Mapping
from typing import Any

import psycopg
from django.db import connection
from psycopg.rows import dict_row
from psycopg.types.json import JsonbLoader

from billing.ledger.errors import UnknownWallet
from billing.ledger.waiting import waits

NO_WALLET = "RF404"


def rows(statement: str, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of the statement.

    Raises UnknownWallet (the statement then has a parameter `account_id`) and Django's database errors.
    """
    connection.ensure_connection()
    with connection.wrap_database_errors, _cursor() as cursor:
        try:
            # prepared from the first call on: a process repeats the same few statements
            return cursor.execute(statement, parameters, prepare=True).fetchall()
        except psycopg.Error as error:
            if error.sqlstate == NO_WALLET:
                raise UnknownWallet(parameters["account_id"]) from None
            raise


def move(statement: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Run a move on the wallet of the parameter `account_id`; returns its row.

    Raises waiting.WalletLocked when enough threads wait for this wallet already, and as `rows` does.
    """
    with waits.move(parameters["account_id"]):
        return row(statement, parameters)


def row(statement: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the first row of the statement. Raises as `rows` does."""
    return rows(statement, parameters)[0]


def _cursor() -> psycopg.Cursor[dict[str, Any]]:
    cursor = psycopg.Cursor(connection.connection, row_factory=dict_row)
    # Django's connection leaves jsonb as text for JSONField to decode; here it is decoded
    cursor.adapters.register_loader("jsonb", JsonbLoader)
    return cursor
