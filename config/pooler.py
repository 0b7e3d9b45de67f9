"""Connections of the processes through a connection pooler.

Invariant: with DATABASE_POOLER=transaction nothing depends on the session of PostgreSQL, because PgBouncer in
transaction mode gives each transaction any server connection (https://www.pgbouncer.org/features.html):
statements are not prepared, cursors are not kept on the server, and no limits are sent at connection start.
Locks are leases instead of session locks (core.locks). Nothing in the project uses LISTEN or temporary tables
outside a transaction.
"""

from typing import Any

from django.core.exceptions import ImproperlyConfigured

MODES = ("", "transaction")
# Executions of a statement before psycopg prepares it. The calls of the ledger ask to be prepared at once,
# which psycopg ignores with Django's default (None); Django's own cursors never prepare.
# https://www.psycopg.org/psycopg3/docs/advanced/prepare.html
PREPARE_THRESHOLD = 5


def configure(database: dict[str, Any], mode: str) -> None:
    """Set the options of Django's database for a pooler in this mode, or for none ("").

    Raises ImproperlyConfigured.
    """
    if mode not in MODES:
        raise ImproperlyConfigured(f"DATABASE_POOLER is “{mode}”: set it to transaction, or to nothing")
    options = dict(database.get("OPTIONS") or {})
    if mode == "transaction":
        options["prepare_threshold"] = None
        database["DISABLE_SERVER_SIDE_CURSORS"] = True
    else:
        options.setdefault("prepare_threshold", PREPARE_THRESHOLD)
    database["OPTIONS"] = options
