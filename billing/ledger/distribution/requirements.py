"""What a database needs before it can be distributed."""

from collections.abc import Iterator
from typing import Any

from django.db import connection

from billing.ledger.distribution import tables

_LIBRARY = "select current_setting('shared_preload_libraries') ~ '\\mcitus\\M'"
_EXTENSION = "select exists (select from pg_extension where extname = 'citus')"
_WORKERS = """select nodename, nodeport from pg_dist_node
  where noderole = 'primary' and isactive and shouldhaveshards and groupid <> 0 order by 1, 2"""
_COORDINATOR = "select exists (select from pg_dist_node where groupid = 0 and nodename <> 'localhost')"
_OWNED = """select bool_and(pg_has_role(current_user, relowner, 'usage')) from pg_class
  where oid = any(%s::regclass[])"""
_ARCHIVES = "select exists (select from billing_archive)"
_OTHERS = """select count(*) from pg_stat_activity
  where datname = current_database() and backend_type = 'client backend' and pid <> pg_backend_pid()
    and application_name not like 'citus%'"""
_ON_NODE = "select has_database_privilege(current_user, current_database(), 'create')"
_ASK = "select success, result from master_run_on_worker(array[%s], array[%s], array[%s], false)"


def missing() -> list[str]:
    """What is missing, each in a sentence; empty where the database can be distributed."""
    if not _value(_LIBRARY):
        return [
            "PostgreSQL has to be started with shared_preload_libraries = 'citus'"
            " (docs/runbook.md, Several nodes)."
        ]
    if not _value(_EXTENSION):
        return [
            "The extension is missing: CREATE EXTENSION citus, as a superuser, in this database of each node."
        ]
    return [*_of_nodes(), *_of_database()]


def _of_nodes() -> Iterator[str]:
    if not _value(_COORDINATOR):
        yield "The workers have no address of the coordinator: SELECT citus_set_coordinator_host('…', 5432)."
    workers = _rows(_WORKERS)
    if not workers:
        yield "There is no worker: SELECT citus_add_node('…', 5432), for each."
    for host, port in workers:
        [(success, result)] = _rows(_ASK, [host, port, _ON_NODE])
        if not success:
            yield f"The worker {host}:{port} does not answer: {result}"
        elif result != "t":
            yield f"This role may not create schemas on {host}:{port}: GRANT CREATE ON DATABASE … TO …"


def _of_database() -> Iterator[str]:
    ours = [name for name in tables.TABLES if name not in (tables.ACCOUNTS, tables.EVENTS)]
    if not _value(_OWNED, [ours]):
        yield "This role does not own the tables: run the command as the role that runs migrations."
    if _value(_ARCHIVES):
        yield "The ledger has archives (manage.py archive_ledger), which cannot be distributed."
    if others := _value(_OTHERS):
        yield f"Other sessions use the database ({others}): stop web, workers and beat first."


def _rows(statement: str, parameters: list[Any] | None = None) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return list(cursor.fetchall())


def _value(statement: str, parameters: list[Any] | None = None) -> Any:
    return _rows(statement, parameters)[0][0]
