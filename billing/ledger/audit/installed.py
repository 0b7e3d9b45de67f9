"""The audit of the ledger's SQL: the database has the functions and triggers of `billing/ledger/sql`, and the
tables have the constraints of the models and nothing that changes what a statement on them does.

Invariant: a function body or a trigger that differs from its file by one character is named.
"""

import re
from collections import Counter
from collections.abc import Iterator

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
    """Functions and triggers that are missing, changed, disabled, or in no file; changed tables."""
    text = "\n".join(file.read_text(encoding="utf-8") for file in sorted(installation.SQL.glob("*.sql")))
    if database.is_distributed():
        yield from _functions_of_nodes()
        yield from _tables()
        return
    yield from _functions(text)
    yield from _triggers(text)
    yield from _tables()


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


def _functions_of_nodes() -> Iterator[Finding]:
    """Functions beside the shards whose body is not that of a file, or that are missing there."""
    files = [file for file in installation.SQL.glob("*.sql") if file.name not in installation.OF_COORDINATOR]
    text = "\n".join(file.read_text(encoding="utf-8") for file in files)
    wanted = Counter((name, body) for name, _language, _options, _, body in _FUNCTION.findall(text))
    for account_id in database.account_of_each_group():
        rows = database.read(_INSTALLED, {}, account_id=account_id)
        there = Counter((row["name"], row["body"]) for row in rows if row["step"] is None)
        for name, _body in wanted - there:
            said = "it is missing or changed beside a group of shards"
            yield Finding(check="installation", subject=f"function {name}", found=said)


def _triggers(text: str) -> Iterator[Finding]:
    """Triggers of the ledger's own tables, and of those to which its files add one."""
    wanted = {}
    for table, literals in _TRIGGER.findall(text):
        definition = "".join(re.findall(r"'((?:[^']|'')*)'", literals)).replace("''", "'").lower()
        wanted[table, definition.partition(" trigger ")[2].split()[0]] = definition
    own = {getattr(models, name)._meta.db_table for name in models.__all__}
    for row in database.rows(_TRIGGERS, {"tables": sorted(own | {table for table, _name in wanted})}):
        subject = f"trigger {row['name']} of {row['table']}"
        definition = wanted.pop((row["table"], row["name"]), "")
        if not definition:
            yield Finding(check="installation", subject=subject, found="no file defines it")
        elif not row["is_active"] or row["definition"] != definition:
            yield Finding(check="installation", subject=subject, found="it is disabled or changed")
    for table, name in sorted(wanted):
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
