"""Growth: the cost of a charge with many entries, and with many spent grants."""

from django.db import connection, transaction
from django.utils import timezone

from bench import measures
from bench.measures import Measure
from bench.world import ACCOUNTS

SMALL, LARGE = 10_000, 5_000_000
SPENT_ACCOUNT = 2
FEW_ACCOUNT = 3

# Rows such as millions of charges leave, for timing only: their hashes are not a chain.
HISTORY = """
with made as (
  insert into billing_charge(id, account_id, idempotency_key, fingerprint, credits, service, action, conversation, detail,
    drawn, created_at, uncollected, returned, balance_before, balance_after)
  select ledger_new_id(t.at), ('00000000-0000-7000-8000-' || lpad((1 + n %% {accounts})::text, 12, '0'))::uuid,
    'history-' || n, '\\x00', 0.25, 'gpt-4o', '', '', '{{}}', '[]', t.at, 0, 0, 1, 0.75
  from generate_series(%s::bigint, %s::bigint) n, lateral (select now() - make_interval(secs => ({large} - n) / 2.0) as at) t
  returning id, account_id, created_at)
insert into billing_entry(account_id, seq, kind, grant_id, credits, debt, grant_after, balance_after, charge_id, reason,
  actor, created_at, hash)
select m.account_id, -row_number() over () - %s, 'charge', g.id, -0.25, 0, 1, 1, m.id, '', '', m.created_at, sha256(uuid_send(m.id))
from made m join lateral (select id from billing_grant where account_id = m.account_id limit 1) g on true
"""


def grow(first: int, last: int) -> None:
    """Add the generated entries number `first` to `last`."""
    statement = HISTORY.format(accounts=ACCOUNTS, large=LARGE)
    step = 250_000
    for start in range(first, last + 1, step):
        with connection.cursor() as cursor:
            cursor.execute(statement, [start, min(start + step - 1, last), start])


def refresh_statistics() -> None:
    with connection.cursor() as cursor:
        cursor.execute("vacuum (analyze) billing_charge, billing_entry, billing_grant, billing_wallet")
        cursor.execute("checkpoint")


def growth(large: int = LARGE) -> dict[str, Measure]:
    """Return median times at many entries over those at ten thousand."""
    grow(1, SMALL)
    refresh_statistics()
    charge_small, balance_small = measures.charge_ms(5), measures.balance_ms(5)
    grow(SMALL + 1, large)
    refresh_statistics()
    charge_large, balance_large = measures.charge_ms(5), measures.balance_ms(5)
    charge = f"{charge_large:.2f} ms at {large:,} entries, {charge_small:.2f} ms at {SMALL:,}"
    balance = f"{balance_large:.2f} ms at {large:,} entries, {balance_small:.2f} ms at {SMALL:,}"
    return {
        "growth_charge": (charge_large / charge_small, charge),
        "growth_balance": (balance_large / balance_small, balance),
    }


def spent_grants(count: int = 500) -> Measure:
    """Return the time of a charge with that many spent grants over the time with none."""
    from decimal import Decimal

    from billing import ledger

    account = measures.charge_request(SPENT_ACCOUNT).account_id
    now = timezone.now()
    with transaction.atomic():
        for number in range(count):
            ledger.grant(
                account_id=account, credits=Decimal("0.25"), kind="daily", label="spent", key=f"spent-{number}", now=now,
                priority=1,
            )  # fmt: skip
            ledger.charge(measures.charge_request(SPENT_ACCOUNT), now)
    refresh_statistics()
    ratios = []
    for _ in range(3):
        few, many = measures.charge_ms(FEW_ACCOUNT), measures.charge_ms(SPENT_ACCOUNT)
        ratios.append((many / few, f"{many:.2f} ms with {count} spent grants, {few:.2f} ms with none"))
    return sorted(ratios)[1]
