"""The audit of the ledger's SQL: the database has the functions and triggers of `billing/ledger/sql`, and the
tables have the constraints of the models and nothing that changes what a statement on them does.

Invariant: a function body or a trigger that differs from its file by one character is named.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from billing.ledger import database, installation, models
from billing.ledger.audit.wallets import Finding

_FUNCTION = re.compile(
    r"create or replace function (\w+)\((?:(?!create or replace function).)*?"
    r"\blanguage (\w+)([^$;]*?)\bas (\$\w*\$)(.*?)\4;",
    re.DOTALL,
)
_SETTING = re.compile(r"\bset (\w+) = '?(\w+)")
_AGGREGATE = re.compile(r"create aggregate (\w+)\([^)]*\) \(sfunc = (\w+)")
_TRIGGER = re.compile(r"ledger_ensure_trigger\('(\w+)', ((?:\s*'(?:[^']|'')*')+)\)")
_INSTALLED = """
select p.proname as name, p.prosrc as body, l.lanname as language, coalesce(p.proconfig, '{}') as settings,
       p.prosecdef or p.proisstrict as is_special, a.aggtransfn::regproc::text as step
from pg_proc p join pg_language l on l.oid = p.prolang left join pg_aggregate a on a.aggfnoid = p.oid
where p.pronamespace = current_schema()::regnamespace and p.proname like 'ledger\\_%%'
"""
_TRIGGERS = """
select c.relname as table, t.tgname as name, lower(pg_get_triggerdef(t.oid, true)) as definition,
       t.tgenabled = 'O' as is_active
from pg_trigger t join pg_class c on c.oid = t.tgrelid
where c.relnamespace = current_schema()::regnamespace and c.relname = any(%(tables)s) and not t.tgisinternal
"""
# The same of the shards of one group, which views in its schema name.
_TRIGGERS_OF_SHARDS = """
select distinct v.relname as table, t.tgname as name, t.tgenabled = 'O' as is_active,
       regexp_replace(lower(pg_get_triggerdef(t.oid, true)), ' on (\\w+)_\\d+ ', ' on \\1 ') as definition
from pg_class v join pg_rewrite r on r.ev_class = v.oid
  join pg_depend d on d.objid = r.oid and d.refclassid = 'pg_class'::regclass and d.refobjid <> v.oid
  join pg_trigger t on t.tgrelid = d.refobjid
where v.relnamespace = current_schema()::regnamespace and v.relname = any(%(tables)s) and not t.tgisinternal
"""
_APPLIED = "select name from django_migrations where app = 'billing'"
MIGRATIONS = installation.SQL.parents[1] / "migrations"
OF_LATER_RELEASE = (
    "it is of a later release, with which the audit is to be repeated: functions were not compared"
)
_DISTRIBUTED = "select logicalrelid::regclass::text as table from pg_dist_partition"
# What makes a statement on a table do something else: a rule, row security, rows of another table.
_TABLES = """
select c.relname as table, concat_ws(', ',
         case when c.relkind not in ('r', 'p') then 'it is not a table' when exists (select from pg_rewrite r where r.ev_class = c.oid) then 'it has a rule' end,
         case when c.relrowsecurity then 'it has row security' end,
         case when exists (select from pg_policy p where p.polrelid = c.oid) then 'it has a policy' end,
         case when exists (select from pg_inherits i where c.oid in (i.inhparent, i.inhrelid)) then 'it shares rows with another table' end
       ) as found
from pg_class c where c.relnamespace = current_schema()::regnamespace and c.relname = any(%(tables)s)
"""  # noqa: E501
_CONSTRAINTS = """
select conname as name from pg_constraint where connamespace = current_schema()::regnamespace and convalidated
union all
select c.relname from pg_index i join pg_class c on c.oid = i.indexrelid
where c.relnamespace = current_schema()::regnamespace and i.indisunique and i.indisvalid
"""


def findings() -> Iterator[Finding]:
    """Functions and triggers that are missing, changed, disabled, or in no file; changed tables.

    Where a later release is installed only that is named: the code before it does not know its functions.
    """
    if (later := _later_migration()) is not None:
        yield Finding(check="installation", subject=f"migration {later}", found=OF_LATER_RELEASE)
        return
    text = "\n".join(file.read_text(encoding="utf-8") for file in sorted(installation.SQL.glob("*.sql")))
    if database.is_distributed():
        yield from _of_nodes(text)
    else:
        yield from _functions(text)
        wanted = _wanted_triggers(text)
        yield from _triggers(wanted, database.rows(_TRIGGERS, {"tables": _tables_with_triggers(wanted)}))
    yield from _tables()


def _later_migration() -> str | None:
    """The newest migration, if this code does not have it.

    Processes run until those of the next release replace them, with its functions.
    """
    applied = max(str(row["name"]) for row in database.rows(_APPLIED, {}))
    return applied if applied > max(file.stem for file in MIGRATIONS.glob("[0-9]*.py")) else None


def _functions(text: str) -> Iterator[Finding]:
    wanted = Counter(
        (
            name,
            body,
            language,
            tuple(sorted(f"{key}={value}" for key, value in _SETTING.findall(options))),
            False,
        )
        for name, language, options, _, body in _FUNCTION.findall(text)
    )
    aggregates = dict(_AGGREGATE.findall(text))
    rows = database.rows(_INSTALLED, {})
    there = Counter(
        (row["name"], row["body"], row["language"], tuple(sorted(row["settings"])), row["is_special"])
        for row in rows
        if row["step"] is None
    )
    names = {name for name, *_ in wanted}
    for name, *_ in there - wanted:
        said = "its body or an option is not the installed file's" if name in names else "no file defines it"
        yield Finding(check="installation", subject=f"function {name}", found=said)
    present = Counter(name for name, *_ in there.elements())
    for name, count in Counter(name for name, *_ in wanted.elements()).items():
        if present[name] < count:
            yield Finding(check="installation", subject=f"function {name}", found="it is missing")
    steps = {row["name"]: row["step"] for row in rows if row["step"]}
    for name, step in aggregates.items():
        if steps.get(name) != step:
            yield Finding(check="installation", subject=f"aggregate {name}", found="it is missing or changed")


def _of_nodes(text: str) -> Iterator[Finding]:
    """Functions and triggers beside the shards, and the triggers of the coordinator's tables."""
    distributed = {row["table"] for row in database.rows(_DISTRIBUTED, {})}
    wanted = _wanted_triggers(text)
    here = {key: definition for key, definition in wanted.items() if key[0] not in distributed}
    of_shards = {key: definition for key, definition in wanted.items() if key[0] in distributed}
    tables = set(_tables_with_triggers(wanted))
    yield from _triggers(here, database.rows(_TRIGGERS, {"tables": sorted(tables - distributed)}))
    files = [file for file in installation.SQL.glob("*.sql") if file.name not in installation.OF_COORDINATOR]
    functions = Counter(
        (name, body)
        for file in files
        for name, _language, _options, _, body in _FUNCTION.findall(file.read_text(encoding="utf-8"))
    )
    for account_id in [each for node in database.accounts_of_nodes() for each in node]:
        rows = database.read(_INSTALLED, {}, account_id=account_id)
        there = Counter((row["name"], row["body"]) for row in rows if row["step"] is None)
        for name, _body in functions - there:
            said = "it is missing or changed beside a group of shards"
            yield Finding(check="installation", subject=f"function {name}", found=said)
        names = {"tables": sorted(tables & distributed)}
        found = database.read(_TRIGGERS_OF_SHARDS, names, account_id=account_id)
        yield from _triggers(of_shards, found)


def _wanted_triggers(text: str) -> dict[tuple[str, str], str]:
    """The definitions of the triggers in the files, by table and name."""
    wanted = {}
    for table, literals in _TRIGGER.findall(text):
        definition = "".join(re.findall(r"'((?:[^']|'')*)'", literals)).replace("''", "'").lower()
        wanted[table, definition.partition(" trigger ")[2].split()[0]] = definition
    return wanted


def _tables_with_triggers(wanted: Iterable[tuple[str, str]]) -> list[str]:
    """The ledger's own tables, and those to which its files add a trigger."""
    own = {getattr(models, name)._meta.db_table for name in models.__all__}
    return sorted(own | {table for table, _name in wanted})


def _triggers(wanted: Mapping[tuple[str, str], str], rows: Sequence[dict[str, Any]]) -> Iterator[Finding]:
    """Triggers among the rows that no file defines, or that are changed, and those that are missing."""
    there = set()
    for row in rows:
        key = (row["table"], row["name"])
        there.add(key)
        subject = f"trigger {row['name']} of {row['table']}"
        if key not in wanted:
            yield Finding(check="installation", subject=subject, found="no file defines it")
        elif not row["is_active"] or row["definition"] != wanted[key]:
            yield Finding(check="installation", subject=subject, found="it is disabled or changed")
    for table, name in sorted(set(wanted) - there):
        yield Finding(check="installation", subject=f"trigger {name} of {table}", found="it is missing")


def _tables() -> Iterator[Finding]:
    tables = [getattr(models, name)._meta for name in models.__all__]
    for row in database.rows(_TABLES, {"tables": [table.db_table for table in tables]}):
        if row["found"]:
            yield Finding(check="installation", subject=f"table {row['table']}", found=row["found"])
    there = {row["name"] for row in database.rows(_CONSTRAINTS, {})}
    for table in tables:
        for constraint in table.constraints:
            if constraint.name not in there:
                subject = f"constraint {constraint.name} of {table.db_table}"
                yield Finding(check="installation", subject=subject, found="it is missing")
