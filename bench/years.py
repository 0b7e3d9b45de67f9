"""A member of years: a claw-back in a wallet of many entries."""

import uuid
from decimal import Decimal

from django.db import connection, transaction
from django.utils import timezone

from bench import growth, measures
from bench.measures import Measure
from billing import ledger

ACCOUNT = 4
ENTRIES = 600_000

# Entries such as years of charges leave, for timing only: their hashes are not a chain.
ENTRIES_OF_GRANT = """
insert into billing_entry(account_id, seq, kind, grant_id, credits, debt, grant_after, balance_after, charge_id, reason,
  actor, created_at, hash)
select %(account)s, -n, 'charge', %(grant)s, -0.25, 0, 1, 1, gen_random_uuid(), '', '', now() - make_interval(secs => n),
  sha256(int8send(n)) from generate_series(1, %(entries)s::bigint) n
"""


def claw_back_ms(entries: int = ENTRIES) -> Measure:
    """Return the median time of a claw-back of a purchase that was partly spent, in milliseconds."""
    account, purchase, now = measures.charge_request(ACCOUNT).account_id, uuid.uuid4(), timezone.now()
    given = ledger.grant(
        account_id=account, credits=Decimal(1000), kind="top_up", label="Pack", key=f"years-{purchase}", now=now,
        purchase_id=purchase, priority=1,
    )  # fmt: skip
    ledger.charge(measures.charge_request(ACCOUNT), now)
    with connection.cursor() as cursor:
        cursor.execute(ENTRIES_OF_GRANT, {"account": account, "grant": given.grant_id, "entries": entries})
    growth.refresh_statistics()

    def claw_back() -> None:
        with transaction.atomic():
            ledger.claw_back(
                account_id=account, purchase_id=purchase, credits=Decimal(1000), key=str(uuid.uuid4()),
                reason="bench", now=timezone.now(),
            )  # fmt: skip
            transaction.set_rollback(True)

    return measures.median_ms(claw_back, times=100), f"in a wallet of {entries:,} entries, without the commit"
