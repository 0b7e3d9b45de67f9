"""The default message broker: PGMQ, tables in the same PostgreSQL, without a server of its own.

Invariant: installing is idempotent and safe to run from several processes at once. Any broker may lose or
repeat a message: tasks are idempotent and due work is found again from the database.
"""

from typing import Any

import psycopg
from psycopg import conninfo

# Longer than any task may run (settings.CELERY_TASK_TIME_LIMIT), or a running task would be delivered twice.
VISIBILITY_TIMEOUT_SECONDS = 180
INSTALL_LOCK = 7301
QUEUE = "refill"
WEBHOOK_QUEUE = "webhooks"
MAIL_QUEUE = "mail"
# Options of Django that libpq does not accept.
DJANGOS = {"assume_role", "isolation_level", "pool", "prepare_threshold", "server_side_binding"}


def connection_string(database: dict[str, Any]) -> str:
    """A Django database as libpq keywords: the client of PGMQ accepts a socket directory in no other form."""
    options = {
        "host": database.get("HOST"),
        "port": database.get("PORT"),
        "dbname": database["NAME"],
        "user": database.get("USER"),
        "password": database.get("PASSWORD"),
        # DATABASE_URL=postgres:///name?host=/run/postgresql&sslmode=require puts libpq keywords here.
        **{name: v for name, v in database.get("OPTIONS", {}).items() if name not in DJANGOS},
    }
    return conninfo.make_conninfo("", **{name: value for name, value in options.items() if value})


def transport_options(database: dict[str, Any]) -> dict[str, Any]:
    """kombu's options for PGMQ over that database."""
    return {
        "conn_string": connection_string(database),
        # The schema is installed by `install`; there is no extension to create.
        "init_extension": False,
        "visibility_timeout": VISIBILITY_TIMEOUT_SECONDS,
        # A poll is one statement running in PostgreSQL; short polls let the worker stop quickly.
        "wait_time_seconds": 1,
        "poll_interval_ms": 100,
        "polling_interval": 0.1,
        "pool_size": 4,
        "pool_timeout": 10,
    }


def install(database: dict[str, Any]) -> bool:
    """Install the schema of PGMQ and the queues in the database; False when all are there already."""
    import pgmq  # here, because the settings import this module

    with psycopg.connect(connection_string(database), prepare_threshold=None) as connection:
        connection.execute("select pg_advisory_xact_lock(%s)", [INSTALL_LOCK])
        if connection.execute("select to_regnamespace('pgmq')").fetchone() == (None,):
            pgmq.install_pgmq_from_sql(conn=connection)
        present = {name for (name,) in connection.execute("select queue_name from pgmq.meta")}
        missing = [name for name in (QUEUE, WEBHOOK_QUEUE, MAIL_QUEUE) if name not in present]
        for name in missing:
            connection.execute("select pgmq.create(%s)", [name])
    return bool(missing)
