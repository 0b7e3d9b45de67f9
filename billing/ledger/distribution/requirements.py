"""What a database needs before it can be distributed."""

import json
from collections.abc import Iterator
from typing import Any

from django.db import connection

from billing.ledger.distribution import tables

OLDEST = 13  # the functions of Citus that are used, and its planner, were tried with this release
# As text, because a node's answer is text. A library's own settings exist where it is loaded; only some roles
# may read shared_preload_libraries.
_NODE = """select json_build_object(
  'loaded', current_setting('citus.shard_count', true) is not null,
  'version', (select extversion from pg_extension where extname = 'citus'),
  'available', (select default_version from pg_available_extensions where name = 'citus'),
  'creates', has_database_privilege(current_user, current_database(), 'create'),
  'transactions', current_setting('max_prepared_transactions')::int,
  'sessions', current_setting('max_connections')::int)::text"""
_WORKERS = """select nodename, nodeport from pg_dist_node
  where noderole = 'primary' and isactive and shouldhaveshards and groupid <> 0 order by 1, 2"""
_COORDINATOR = "select exists (select from pg_dist_node where groupid = 0 and nodename <> 'localhost')"
_OWNED = """select bool_and(pg_has_role(current_user, relowner, 'usage')) from pg_class
  where oid = any(%s::regclass[])"""
_ARCHIVES = "select exists (select from billing_archive)"
_OTHERS = """select count(*) from pg_stat_activity
  where datname = current_database() and backend_type = 'client backend' and pid <> pg_backend_pid()
    and application_name not like 'citus%'"""
_ASK = "select success, result from master_run_on_worker(array[%s], array[%s], array[%s], false)"


def missing() -> list[str]:
    """What is missing, each in a sentence; empty where the database can be distributed."""
    here = list(of_node("the coordinator", json.loads(_value(_NODE))))
    return here or [*_of_workers(), *_of_database()]


def of_node(name: str, found: dict[str, Any]) -> Iterator[str]:
    """What is missing on a node, from its answer."""
    if not found["loaded"]:
        yield f"PostgreSQL has to be started with shared_preload_libraries = 'citus' on {name}."
    elif not found["version"]:
        yield f"The extension is missing on {name}: CREATE EXTENSION citus, as a superuser, in this database."
    elif found["version"] != found["available"]:
        yield (
            f"The extension on {name} is of release {found['version']}, its library of {found['available']}:"
            " ALTER EXTENSION citus UPDATE, as a superuser."
        )
    elif int(found["version"].split(".")[0]) < OLDEST:
        yield f"Citus {found['version']} on {name} is too old: {OLDEST}.0 or newer is needed."
    if found["loaded"] and found["transactions"] < found["sessions"]:
        yield (
            f"max_prepared_transactions on {name} is {found['transactions']}:"
            f" it has to be max_connections ({found['sessions']}) at least."
        )
    if not found["creates"]:
        yield f"This role may not create schemas on {name}: GRANT CREATE ON DATABASE … TO …"


def _of_workers() -> Iterator[str]:
    if not _value(_COORDINATOR):
        yield "The workers have no address of the coordinator: SELECT citus_set_coordinator_host('…', 5432)."
    workers = _rows(_WORKERS)
    if not workers:
        yield "There is no worker: SELECT citus_add_node('…', 5432), for each."
    for host, port in workers:
        [(success, result)] = _rows(_ASK, [host, port, _NODE])
        if success:
            yield from of_node(f"{host}:{port}", json.loads(result))
        else:
            yield f"The worker {host}:{port} does not answer: {result}"


def _of_database() -> Iterator[str]:
    ours = [name for name in tables.TABLES if name not in (tables.ACCOUNTS, tables.EVENTS)]
    if not _value(_OWNED, [ours]):
        yield "This role does not own the tables: run the command as the role that runs migrations."
    elif _value(_ARCHIVES):
        yield "The ledger has archives (manage.py archive_ledger), which cannot be distributed."
    if others := _value(_OTHERS):
        yield f"Other sessions use the database ({others}): stop web, workers and beat first."


def _rows(statement: str, parameters: list[Any] | None = None) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return list(cursor.fetchall())


def _value(statement: str, parameters: list[Any] | None = None) -> Any:
    return _rows(statement, parameters)[0][0]
