"""The PostgreSQL server that a process connects to must be one that it can work with.

Invariant: no process works with a server that is too old, nor, unless DATABASE_POOLER says so, through a
pooler: there clients share sessions, and a lock of the session (core.locks) would stay behind.
"""

from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import OperationalError, connection
from django.db.backends.postgresql.base import DatabaseWrapper

OLDEST = 15
_checked: set[str] = set()  # addresses of servers: one statement for each in the life of a process


def check(sender: Any, connection: DatabaseWrapper, **_: Any) -> None:
    """Refuse a new connection to an unfit server. Raises ImproperlyConfigured, with the setting to change."""
    error = _error(connection)
    if error:
        connection.close()
        raise ImproperlyConfigured(error)


def refuse_unfit() -> None:
    """Connect once at the start of a process. A server that does not answer is no reason not to start.

    Raises ImproperlyConfigured.
    """
    try:
        connection.ensure_connection()
    except OperationalError:
        return
    connection.close()


def _error(connection: DatabaseWrapper) -> str:
    version = connection.pg_version // 10_000
    if version < OLDEST:
        return f"DATABASE_URL names PostgreSQL {version}: Refill needs {OLDEST} or newer"
    server = f"{connection.settings_dict['HOST']}:{connection.settings_dict['PORT']}"
    if settings.DATABASE_POOLER or server in _checked:
        return ""
    # A pooler reports a process id of its own, because the server's process changes.
    session = connection.connection
    if session.execute("select pg_backend_pid()").fetchone()[0] != session.info.backend_pid:
        return "DATABASE_URL leads to a pooler such as PgBouncer: set DATABASE_POOLER=transaction"
    _checked.add(server)
    return ""
