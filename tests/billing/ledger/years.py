"""Builders of wallets that many years of use leave behind: rows by the thousand, each kind in one statement.

The rows are such as the ledger writes, and analysed as autovacuum does. Charges made here have no entries;
they serve the reads that count them.
"""

import datetime as dt
import time
import uuid
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

from django.db import connection

from tests.billing.ledger.conftest import NOON

GRANTS = """
with made as (
  insert into billing_grant(id, account_id, kind, label, credits, remaining, held, priority, expires_at,
    services, open, idempotency_key, fingerprint, allowance, reason, actor, created_at)
  select ledger_new_id(%(now)s), %(account)s, 'bonus', 'years', %(credits)s, %(credits)s, 0, %(priority)s,
    %(expires)s, %(services)s, true, %(key)s || n, '', '', '', '', %(now)s
  from generate_series(1, %(count)s) n returning id)
select ledger_write_set(array[%(account)s]::uuid[], array_agg(ledger_move('grant', id, %(credits)s, %(now)s,
  account_id => %(account)s, grant_after => %(credits)s)), %(now)s) from made
"""
DUE = "update billing_wallet set next_due_at = least(next_due_at, %(expires)s) where account_id = %(account)s"
LIMITS = """
insert into billing_limit(account_id, kind, subject, period, maximum, used, window_start, window_end)
select %(account)s, 'project', s, 'day', 1000, 0, %(start)s, %(end)s from unnest(%(subjects)s::text[]) s
"""
CHARGES = """
insert into billing_charge(id, account_id, idempotency_key, fingerprint, credits, service, action, project_id,
  conversation, detail, drawn, created_at, uncollected, returned, balance_before, balance_after)
select ledger_new_id(%(now)s), %(account)s, %(key)s || n, '', 0.25, 'gpt-4o', '', %(project)s, '', '{}', '[]',
  %(now)s, 0, 0, 1, 0.75
from generate_series(1, %(count)s) n
"""


def many_grants(
    account: uuid.UUID,
    count: int,
    credits: str = "1",
    *,
    priority: int = 30,
    services: Sequence[str] | None = None,
    expires_at: dt.datetime | None = None,
    now: dt.datetime = NOON,
) -> None:
    """Give that many grants of so many credits."""
    parameters = {
        "account": account,
        "count": count,
        "credits": Decimal(credits),
        "priority": priority,
        "services": services,
        "expires": expires_at,
        "key": f"{uuid.uuid4()}:",
        "now": now,
    }
    _execute(GRANTS, parameters)
    _execute(DUE, parameters)


def many_limits(account: uuid.UUID, count: int, now: dt.datetime = NOON) -> list[uuid.UUID]:
    """Limit that many projects by the day, and return their ids."""
    projects = [uuid.uuid4() for _ in range(count)]
    start = now.replace(hour=0)
    day = {"start": start, "end": start + dt.timedelta(days=1)}
    _execute(LIMITS, {"account": account, "subjects": [str(project) for project in projects]} | day)
    _execute("update billing_wallet set limited = true where account_id = %(account)s", {"account": account})
    return projects


def many_charges(account: uuid.UUID, count: int, *, project: uuid.UUID, now: dt.datetime = NOON) -> None:
    """Add that many charges of 0.25 credits for the project."""
    _execute(
        CHARGES,
        {"account": account, "count": count, "project": project, "key": f"{uuid.uuid4()}:", "now": now},
    )


def milliseconds(call: Callable[[], object]) -> float:
    """Return how long the call took."""
    started = time.perf_counter()
    call()
    return (time.perf_counter() - started) * 1000


def fastest(call: Callable[[], object], times: int = 5) -> float:
    """Return the shortest of several runs in milliseconds: other work on the machine only adds to it."""
    return min(milliseconds(call) for _ in range(times))


def _execute(statement: str, parameters: dict[str, Any]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        cursor.execute("analyze billing_grant, billing_limit, billing_charge, billing_entry, billing_wallet")
