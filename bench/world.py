"""The data that is measured: accounts with three grants and a project limit each, and the floor's tables.

The floor's tables are copies of the ledger's own (columns, indexes, checks, fill), so that its writes
are the same writes.
"""

from django.db import connection

ACCOUNTS = 1000
HOT = 1
# Account n has this id; the same expression serves the floor and the ledger, so it costs both the same.
ACCOUNT = "('00000000-0000-7000-8000-' || lpad((:acc)::text, 12, '0'))::uuid"
PROJECT = "('00000000-0000-7000-9000-' || lpad((:acc)::text, 12, '0'))::uuid"
DETAIL = (
    '\'{"lines": [{"meter": "tokens", "quantity": 1840, "unit_credits": "11", "per": 5000, "credits": "4.048"}],'
    ' "rate": {"version": "2026-11-01", "effective_at": "2026-11-01"},'
    ' "usage": {"input_tokens": 1200, "output_tokens": 640}}\'::jsonb'
)

SEED = """
insert into accounts_account(id, kind, name, zone, on_wall, created_at)
select ('00000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, 'personal', 'bench ' || n, 'UTC',
  false, now()
from generate_series({first}, {last}) n;
select count(ledger_open_wallet(id, now())) from accounts_account where name like 'bench %';
select count(ledger_grant(a.id, ledger_new_id(now()), 'seed-' || g, '', 1000000000, k.kind, 'Seed', null,
  k.expires, null, null, '', '', now()))
from (select id from accounts_account where name like 'bench %' order by id) a,
     generate_series(1, 3) g,
     lateral (select (array['daily', 'plan', 'top_up'])[g] as kind,
              case when g < 3 then now() + make_interval(days => 30 * g) end as expires) k;
select count(ledger_set_limit(id, 'project', replace(id::text, '-8000-', '-9000-'), 'day', 1000000000, now()))
from accounts_account where name like 'bench %';
"""

FLOOR = """
drop table if exists floor_wallet, floor_grant, floor_charge, floor_entry, floor_limit;
create table floor_wallet (like billing_wallet including all);
create table floor_grant (like billing_grant including all);
create table floor_charge (like billing_charge including all);
create table floor_entry (like billing_entry including all);
alter table floor_wallet set (fillfactor = 50);
alter table floor_grant set (fillfactor = 70);
insert into floor_wallet select * from billing_wallet;
insert into floor_grant select distinct on (account_id) * from billing_grant order by account_id, id;
create unique index on floor_grant(account_id);
vacuum analyze;
"""


def seed(first: int = 1, last: int = ACCOUNTS) -> None:
    """Create the accounts unless they exist."""
    with connection.cursor() as cursor:
        cursor.execute("select count(*) from accounts_account where name like 'bench %'")
        if cursor.fetchone()[0] == 0:
            cursor.execute(SEED.format(first=first, last=last))
        for statement in FLOOR.strip().split(";\n"):
            cursor.execute(statement)
