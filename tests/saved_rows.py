"""Rows that fixtures create: made once in a run by the product's code, then restored from a copy.

Restoring takes a tenth of the time. Invariant: rows are restored only where the product would create the same
ones: with the untouched catalogue, at the same time of the clock, in the transaction of a test.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import time_machine
from django.apps import apps
from django.conf import settings
from django.core.management import call_command
from django.db import connection, transaction
from django.utils import timezone

from accounts.models import User
from pricing.catalogue import cache as catalogue_cache
from tests import clock as run_clock
from tests.roles import as_owner

Rows = dict[str, bytes]  # by table, in the format of COPY
# Before every moment at which a test may start, and after the dates of the catalogues' rates.
CATALOGUE_LOADED_AT = datetime(2026, 6, 15, tzinfo=UTC)
WINDOW = timedelta(minutes=1)
# The text format of COPY: https://www.postgresql.org/docs/current/sql-copy.html
TAB, NULL = "\t", "\\N"
ESCAPED = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}

least_requests: float = 4  # for people of one moment, before copies are made that a few tests would not repay

_catalogues: dict[str, Rows] = {}
_cached: dict[str, catalogue_cache.LoadedCatalogue] = {}  # of the untouched rows
_untouched: dict[str, str] = {}  # digests of the catalogues
_few: dict[int, tuple[Rows, str]] = {}  # the statements that insert tables with few rows
_casts: dict[tuple[str, datetime], dict[str, Rows]] = {}
_wanted: Counter[tuple[str, datetime]] = Counter()


def load_catalogue() -> None:
    """Load the default catalogue, by the real command in the first test of a process."""
    name = settings.CATALOGUE
    if name in _catalogues:
        restore(_catalogues[name])
        catalogue_cache.forget()
        catalogue_cache._catalogue = _cached[name]
        return
    with time_machine.travel(CATALOGUE_LOADED_AT), new_rows() as _catalogues[name]:
        call_command("load_catalogue", verbosity=0)
    _untouched[name] = _digest()
    catalogue_cache.forget()
    _cached[name] = catalogue_cache.current()
    for card in _cached[name].cards:
        _cached[name].rates(card)


def restore_of_cast(name: str, makers: Mapping[str, Callable[[], object]]) -> bool:
    """Restore what the maker of this name creates after those before it; False where it has to be called.

    The time of the rows is that of the clock, or the run's moment in its first minute.
    """
    now = timezone.now()
    begun = run_clock.parsed(run_clock.moment())
    moment = begun if begun <= now < begun + WINDOW else now.replace(microsecond=0)
    key = settings.CATALOGUE, moment
    if not connection.in_atomic_block or _untouched.get(settings.CATALOGUE) != _digest():
        return False
    _wanted[key] += 1
    if key not in _casts and _wanted[key] > least_requests and not User.objects.exists():
        _casts[key] = _made_at(moment, makers)
    if key not in _casts:
        return False
    restore(_casts[key][name])
    return True


def _made_at(moment: datetime, makers: Mapping[str, Callable[[], object]]) -> dict[str, Rows]:
    made = {}
    with transaction.atomic(), time_machine.travel(moment, tick=False):
        for name, make in makers.items():
            with new_rows() as made[name]:
                make()
        transaction.set_rollback(True)
    return made


@contextmanager
def new_rows() -> Iterator[Rows]:
    """What this context adds to the tables, for `restore` in another test."""
    rows: Rows = {}
    before = _lines()
    yield rows
    for table, lines in _lines().items():
        if added := b"".join(line for line in lines if line not in before.get(table, {})):
            rows[table] = added


def restore(rows: Rows) -> None:
    """Insert the rows as they were copied.

    Triggers refuse new rates of a published card, so that rates are first. Switching the triggers off would
    discard all plans of the session, those of the ledger's functions, too
    (https://www.postgresql.org/docs/current/runtime-config-client.html#GUC-SESSION-REPLICATION-ROLE).
    """
    if id(rows) not in _few:
        _few[id(rows)] = rows, _insertion(rows)  # the rows are kept, so that the id stays theirs
    with transaction.atomic(), as_owner(), connection.cursor() as cursor:
        for table in sorted(_many(rows), key=lambda name: name != "pricing_rate"):
            with cursor.copy(f'copy "{table}" from stdin') as copy:
                copy.write(rows[table])
        cursor.execute(_few[id(rows)][1])


def _many(rows: Rows) -> list[str]:
    """The tables for whose rows COPY is cheaper than a part of a statement."""
    return [table for table, lines in rows.items() if table == "pricing_rate" or lines.count(b"\n") > 9]


def _insertion(rows: Rows) -> str:
    """One statement for all tables with few rows: a COPY for each takes longer."""
    statements = ["select"]
    with connection.cursor() as cursor:
        for table in rows.keys() - _many(rows):
            # the columns in the order of COPY, which leaves generated ones out
            cursor.execute(
                "select string_agg(format('%%I', attname), ', ' order by attnum) from pg_attribute"
                " where attrelid = %s::regclass and attnum > 0 and not attisdropped and attgenerated = ''",
                [f'"{table}"'],
            )
            columns = cursor.fetchone()[0]
            lines = rows[table].decode().removesuffix("\n").split("\n")
            values = ", ".join(f"({', '.join(map(_literal, line.split(TAB)))})" for line in lines)
            statements.append(f'insert into "{table}" ({columns}) values {values}')
    return "; ".join(statements)


def _literal(field: str) -> str:
    """A field in the text format of COPY as a literal of SQL."""
    if field == NULL:
        return "null"
    if "\\" in field:
        field = re.sub(r"\\(.)", lambda escaped: ESCAPED.get(escaped[1], escaped[1]), field)
    return "'" + field.replace("'", "''") + "'"


def _lines() -> dict[str, dict[bytes, None]]:
    """The rows of all tables that have any."""
    tables = [model._meta.db_table for model in apps.get_models() if model._meta.managed]
    filled = [f"(select '{table}' from \"{table}\" limit 1)" for table in tables]
    with connection.cursor() as cursor:
        cursor.execute(" union all ".join(filled))
        return {table: _copied(table) for (table,) in cursor.fetchall()}


def _copied(table: str) -> dict[bytes, None]:
    with connection.cursor() as cursor, cursor.copy(f'copy "{table}" to stdout') as rows:
        return dict.fromkeys(b"".join(rows).splitlines(keepends=True))


def _digest() -> str:
    """Of what the opening of an account depends on: the policies and the plans."""
    of = "select md5(string_agg(x::text, '' order by id)) from"
    with connection.cursor() as cursor:
        cursor.execute(f"select ({of} pricing_catalogue x) || ({of} pricing_plan x)")
        return str(cursor.fetchone()[0])
