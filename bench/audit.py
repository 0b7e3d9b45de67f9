"""The audit: entries per second of a full run over a million of them, in small wallets and in one large one."""

from django.db import connection
from django.utils import timezone

from bench.measures import Measure
from bench.world import ACCOUNTS
from billing import ledger

ENTRIES = 1_000_000
LARGE_SHARE = 5  # every fifth entry belongs to one wallet
LARGE_ACCOUNT = 1000

# Charges with their entries, as the ledger's functions would have written them one after the other.
HISTORY = """
with wallets as materialized (
  select w.account_id, w.balance, w.seq, w.head, g.id as grant_id, g.kind, g.remaining, greatest(w.moved_at, now()) as since
  from billing_wallet w, lateral (select * from billing_grant g where g.account_id = w.account_id
                                  order by priority, expires_at, created_at, id limit 1) g
  where w.account_id between ('00000000-0000-7000-8000-' || lpad(%(first)s::text, 12, '0'))::uuid
                         and ('00000000-0000-7000-8000-' || lpad(%(last)s::text, 12, '0'))::uuid
), charges as (
  insert into billing_charge(id, account_id, idempotency_key, fingerprint, credits, service, action, conversation,
    detail, drawn, created_at, uncollected, returned, balance_before, balance_after)
  select ledger_new_id(since), account_id, 'audit-' || seq + n, '\\x00', 0.25, 'gpt-4o', '', 'c-81',
    '{{"lines": [{{"meter": "tokens", "quantity": 1840, "credits": "0.25"}}]}}',
    jsonb_build_array(ledger_drawn(grant_id, kind, 0.25)), since + make_interval(secs => n / 1000.0), 0, 0,
    balance - 0.25 * (n - 1), balance - 0.25 * n
  from wallets, generate_series(1, %(each)s) n
  returning billing_charge as c, ledger_charge_digest(billing_charge) as digest
), numbered as (
  select w.*, (x.c).id as charge_id, (x.c).created_at, (x.c).balance_after, x.digest,
         row_number() over (partition by w.account_id order by (x.c).created_at) as n
  from charges x join wallets w on w.account_id = (x.c).account_id
), entries as (
  insert into billing_entry(account_id, seq, kind, grant_id, credits, debt, grant_after, balance_after, charge_id, reason,
    actor, created_at, digest, hash)
  select account_id, seq + n, 'charge', grant_id, -0.25, 0, remaining - 0.25 * n, balance_after, charge_id, '', '',
    created_at, digest, ledger_chain(head, ledger_payload(account_id, seq + n, 'charge', grant_id, -0.25, 0,
      remaining - 0.25 * n, balance_after, charge_id, null, '', '', created_at, digest))
        over (partition by account_id order by n)
  from numbered returning account_id, seq, grant_id, hash, created_at
), newest as (
  select distinct on (account_id) * from entries order by account_id, seq desc
), grants as (
  update billing_grant g set remaining = g.remaining - 0.25 * %(each)s, spent = g.spent + 0.25 * %(each)s, last_seq = e.seq
    from newest e where e.account_id = g.account_id and e.grant_id = g.id
)
update billing_wallet w set balance = w.balance - 0.25 * %(each)s, seq = e.seq, head = e.hash, moved_at = e.created_at
  from newest e where e.account_id = w.account_id
"""


def grow(entries: int) -> None:
    """Add that many entries: most to all accounts alike, a share to the last one."""
    statement = HISTORY.replace("{{", "{").replace("}}", "}")
    large = entries // LARGE_SHARE
    each = (entries - large) // (ACCOUNTS - 1)
    with connection.cursor() as cursor:
        for first in range(1, ACCOUNTS, 50):
            cursor.execute(statement, {"first": first, "last": min(first + 49, ACCOUNTS - 1), "each": each})
        cursor.execute(statement, {"first": LARGE_ACCOUNT, "last": LARGE_ACCOUNT, "each": large})
        cursor.execute("vacuum (analyze)")


def audit_entries_per_second(entries: int = ENTRIES) -> Measure:
    """Return entries per second of a full audit."""
    grow(entries)
    now = timezone.now()
    audit = ledger.audit.run(now=now)
    if audit.findings:
        raise RuntimeError(f"the audit found {audit.findings[:3]}")
    seconds = (audit.finished_at - now).total_seconds()
    return (
        audit.entries / seconds,
        f"{audit.entries:,} entries of {audit.wallets:,} wallets in {seconds:.1f} s",
    )
