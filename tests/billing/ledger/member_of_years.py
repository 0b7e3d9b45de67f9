"""A wallet with the entries of years of use, written set-based in seconds, for tests of time at scale.

Invariants: amounts add up (each grant's entries to its remaining credits, the grants to the balance) and
numbers have no gaps, so that charges, corrections and reads work on it. The entries' hashes are not a chain:
an audit of the wallet reports them.
"""

import datetime as dt
import uuid
from typing import Any

from django.db import connection

from tests.billing.ledger.conftest import NOON, new_account

ENTRIES = 600_000
DAYS = 750  # a little more than two years, each with ENTRIES / DAYS entries

# ruff: noqa: E501
# Each day, in this order: a daily grant, a pack on every 30th day, one charge on the oldest pack, charges on the
# daily grant and a hold before every 20th, and the expiry of what is left of the daily grant.
_ENTRIES = """
create temporary table year_entries on commit drop as
with numbered as (
  select d, i, d * %(a_day)s + i as seq,
         case when i = 1 or (i = 2 and d %% 30 = 0) then 'grant' when i = %(a_day)s then 'expire'
              when i %% 20 = 10 then 'hold' when i %% 20 = 11 then 'release' else 'charge' end as kind,
         case when i = 2 and d %% 30 = 0 then 'pack ' || d / 30 when i = 3 then 'pack 0' else 'day ' || d end as source
  from generate_series(0, %(days)s - 1) d, generate_series(1, %(a_day)s) i
), amounts as (
  select *, case when kind = 'grant' and i = 1 then 100 when kind = 'grant' then 5000
                 when kind = 'release' then 0.01 when kind = 'expire' then null else -0.01 end::numeric(20,6) as credits
  from numbered
), whole as (
  select d, i, seq, kind, source, coalesce(credits, -sum(credits) over (partition by source)) as credits from amounts
)
select seq, kind, source, md5(%(account)s || source)::uuid as grant_id, credits,
       sum(credits) over (partition by source order by seq) as grant_after, sum(credits) over (order by seq) as balance_after,
       case when kind = 'charge' then md5(%(account)s || seq)::uuid end as charge_id,
       case when kind in ('hold', 'release') then md5(%(account)s || (seq - seq %% 2))::uuid end as hold_id,
       %(until)s::timestamptz + (d - %(days)s + i / (%(a_day)s + 1.0)) * interval '1 day' as at
from whole;
"""
_GRANTS = """
insert into billing_grant(id, account_id, kind, label, credits, remaining, held, spent, balance_after, first_seq, last_seq,
  priority, expires_at, open, idempotency_key, fingerprint, allowance, purchase_id, reason, actor, created_at)
select grant_id, %(account)s, case when daily then 'daily' else 'top_up' end, source, granted, left_, 0, spent, balance_after,
  first_seq, last_seq, case when daily then 10 else 40 end, case when daily then at + interval '1 day' end,
  left_ > 0, source, '', '', case when not daily then md5('purchase' || %(account)s || source)::uuid end, '', '', at
from (select source, grant_id, source like 'day %%' as daily, sum(credits) filter (where kind = 'grant') as granted,
             sum(credits) as left_, coalesce(-sum(credits) filter (where kind = 'charge'), 0) as spent,
             min(balance_after) filter (where kind = 'grant') as balance_after, min(seq) as first_seq, max(seq) as last_seq,
             min(at) as at
      from year_entries group by source, grant_id) g;
"""
_ROWS = """
insert into billing_entry(account_id, seq, kind, grant_id, credits, debt, grant_after, balance_after, charge_id, hold_id, reason,
  actor, created_at, hash)
select %(account)s, seq, kind, grant_id, credits, 0, grant_after, balance_after, charge_id, hold_id, '', '', at,
  sha256(int8send(seq))
from year_entries order by seq;
"""
_CHARGES = """
insert into billing_charge(id, account_id, idempotency_key, fingerprint, credits, service, action, project_id, member_id,
  conversation, detail, drawn, created_at, uncollected, returned, balance_before, balance_after)
select charge_id, %(account)s, 'year ' || seq, '', -credits, 'gpt-4o', '', %(project)s, %(member)s, '', '{}',
  jsonb_build_array(jsonb_build_object('grant', grant_id, 'kind', case when source like 'day %%' then 'daily' else 'top_up' end,
    'credits', (-credits)::text)), at, 0, 0, balance_after - credits, balance_after
from year_entries where kind = 'charge' order by seq;
"""
_WALLET = """
update billing_wallet set (balance, seq, head, moved_at) =
  (select balance_after, seq, sha256(int8send(seq)), at from year_entries order by seq desc limit 1)
where account_id = %(account)s;
"""


def years_of_use(
    *,
    entries: int = ENTRIES,
    until: dt.datetime = NOON,
    charges: bool = True,
    project: uuid.UUID | None = None,
    member: uuid.UUID | None = None,
    account_id: uuid.UUID | None = None,
) -> uuid.UUID:
    """Return an account whose wallet has that many entries, the newest just before `until`.

    25 packs of 5,000 credits remain; the purchase of pack n is `purchase_of(account_id, n)`. `charges`: whether
    the charges of the entries exist too; they are attributed to `project` and `member`. `account_id`: an
    existing account with an empty wallet, instead of a new one.
    """
    account = account_id or new_account(now=until - dt.timedelta(days=DAYS + 1))
    values: dict[str, Any] = {
        "account": str(account),
        "a_day": entries // DAYS,
        "days": DAYS,
        "until": until,
        "project": project,
        "member": member,
    }
    with connection.cursor() as cursor:
        for statement in (_ENTRIES, _GRANTS, _ROWS, *([_CHARGES] if charges else []), _WALLET):
            cursor.execute(statement, values)
        cursor.execute("drop table year_entries")
        cursor.execute("analyze billing_entry, billing_charge, billing_grant")
    return account


def grant_of(account_id: uuid.UUID, source: str) -> uuid.UUID:
    """The id of a grant: `grant_of(account, "pack 0")`, `grant_of(account, "day 749")`."""
    with connection.cursor() as cursor:
        cursor.execute("select md5(%s || %s)::uuid", [str(account_id), source])
        return uuid.UUID(str(cursor.fetchone()[0]))


def purchase_of(account_id: uuid.UUID, pack: int) -> uuid.UUID:
    """The id of the purchase of a pack."""
    with connection.cursor() as cursor:
        cursor.execute("select md5('purchase' || %s || 'pack ' || %s)::uuid", [str(account_id), str(pack)])
        return uuid.UUID(str(cursor.fetchone()[0]))
