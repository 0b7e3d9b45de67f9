"""The audit of the ledger's SQL: the database has the functions and triggers of `billing/ledger/sql`.

Invariant: a function body that differs from its file by one character is named.
"""

import re
from collections import Counter
from collections.abc import Iterator

from billing.ledger import database, installation
from billing.ledger.audit.wallets import Finding

_FUNCTION = re.compile(r"create or replace function (\w+)\(.*?\bas (\$\w*\$)(.*?)\2;", re.DOTALL)
_AGGREGATE = re.compile(r"create aggregate (\w+)\(")
_INSTALLED = """
select p.proname as name, p.prosrc as body, p.prokind = 'a' as is_aggregate from pg_proc p
where p.pronamespace = current_schema()::regnamespace and p.proname like 'ledger\\_%%'
"""
# Tables whose rows must not change. Each has a trigger for UPDATE and DELETE, and one for TRUNCATE.
APPEND_ONLY = ("entry", "charge", "correction", "audit", "checkpoint", "head", "archive", "archivedwallet")
_TRIGGERS = """
select c.relname as table, t.tgname as name,
       t.tgenabled = 'O' and p.proname = case t.tgname when 'entry_append_only'
         then 'ledger_refuse_entry_change' else 'ledger_refuse_change' end as is_active
from pg_trigger t join pg_class c on c.oid = t.tgrelid join pg_proc p on p.oid = t.tgfoid
where c.relnamespace = current_schema()::regnamespace and c.relname like 'billing\\_%%' and not t.tgisinternal
"""


def findings() -> Iterator[Finding]:
    """Functions and triggers that are missing, changed, disabled, or in no file."""
    yield from _functions()
    yield from _triggers()


def _functions() -> Iterator[Finding]:
    text = "\n".join(file.read_text(encoding="utf-8") for file in sorted(installation.SQL.glob("*.sql")))
    wanted = Counter((name, body) for name, _, body in _FUNCTION.findall(text))
    aggregates = set(_AGGREGATE.findall(text))
    rows = database.rows(_INSTALLED, {})
    there = Counter((row["name"], row["body"]) for row in rows if not row["is_aggregate"])
    names = {name for name, _ in wanted}
    for name, _ in there - wanted:
        said = "its body is not the installed file's" if name in names else "no file defines it"
        yield Finding(check="installation", subject=f"function {name}", found=said)
    present = Counter(name for name, _ in there.elements())
    for name, count in Counter(name for name, _ in wanted.elements()).items():
        if present[name] < count:
            yield Finding(check="installation", subject=f"function {name}", found="it is missing")
    for name in aggregates - {row["name"] for row in rows if row["is_aggregate"]}:
        yield Finding(check="installation", subject=f"aggregate {name}", found="it is missing")


def _triggers() -> Iterator[Finding]:
    wanted = {
        (f"billing_{table}", f"{table}_{name}")
        for table in APPEND_ONLY
        for name in ("append_only", "no_truncate")
    }
    for row in database.rows(_TRIGGERS, {}):
        place = (row["table"], row["name"])
        subject = f"trigger {row['name']} of {row['table']}"
        if place not in wanted:
            yield Finding(check="installation", subject=subject, found="no file defines it")
        elif not row["is_active"]:
            yield Finding(check="installation", subject=subject, found="it is disabled or changed")
        wanted.discard(place)
    for table, name in sorted(wanted):
        yield Finding(check="installation", subject=f"trigger {name} of {table}", found="it is missing")
