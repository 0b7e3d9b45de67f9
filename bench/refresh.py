"""The daily renewal of many accounts: yesterday's credits expire, today's are granted."""

import datetime as dt
import time

from django.db import connection

from bench.measures import Measure
from billing import ledger

ACCOUNTS = 100_000
NOON = dt.datetime(2026, 3, 10, 12, 0, tzinfo=dt.UTC)

MAKE = """
insert into accounts_account(id, kind, name, zone, on_wall, created_at)
select ('00000000-0000-7000-a000-' || lpad(n::text, 12, '0'))::uuid, 'personal', 'refresh ' || n, 'UTC', false, %(noon)s
from generate_series(1, %(accounts)s) n on conflict do nothing;
insert into billing_wallet(account_id, balance, held, debt, seq, head, limited, is_low, created_at, next_due_at)
select id, 0, 0, 0, 0, sha256(uuid_send(id)), false, false, %(noon)s, %(noon)s from accounts_account where name like 'refresh %%'
on conflict do nothing;
insert into billing_allowance(account_id, key, kind, label, credits, period, lasts, priority, anchor_at, zone, next_at)
select id, 'daily', 'daily', 'Daily refresh', 100, 'day', 'period', 10, %(noon)s, 'UTC', %(noon)s
from accounts_account where name like 'refresh %%' on conflict do nothing;
"""


def refresh_accounts_per_second(accounts: int = ACCOUNTS) -> Measure:
    """Return accounts renewed per second by the beat job's function, with an expiry each."""
    with connection.cursor() as cursor:
        for statement in MAKE.strip().split(";\n"):
            cursor.execute(statement, {"noon": NOON, "accounts": accounts})
        cursor.execute("vacuum (analyze) billing_wallet, billing_allowance, billing_grant, accounts_account")
        cursor.execute("select max(next_due_at) from billing_wallet where account_id::text like '%%-a000-%%'")
        due = cursor.fetchone()[0]
    if due == NOON:
        ledger.settle_due(NOON)
        due = NOON + dt.timedelta(hours=12)
    with connection.cursor() as cursor:
        cursor.execute("vacuum (analyze) billing_wallet, billing_allowance, billing_grant")
        cursor.execute("checkpoint")
    started = time.perf_counter()
    settled = ledger.settle_due(due)
    seconds = time.perf_counter() - started
    if settled < accounts:
        raise RuntimeError(f"only {settled} of {accounts} accounts were settled")
    return settled / seconds, f"{settled:,} accounts in {seconds:.1f} s, one expiry and one grant each"
