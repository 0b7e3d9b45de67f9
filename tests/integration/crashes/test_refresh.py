"""The refresh of thousands of accounts is killed half-way; one account cannot be settled."""

import datetime as dt
import uuid

import pytest
import structlog
from django.db import connection

from accounts.models import Account
from billing import ledger
from billing.ledger.models import Allowance, Grant, Wallet
from tests.billing.ledger.conftest import NOON, D
from tests.billing.ledger.state import broken
from tests.integration.crashes.process import is_killed_at

pytestmark = pytest.mark.usefixtures("committed")
MIDNIGHT = dt.datetime(2026, 3, 11, tzinfo=dt.UTC)
MANY = 3000

WALLETS = """
with wallets as (
  insert into billing_wallet(account_id, balance, held, debt, seq, head, limited, is_low, next_due_at,
    created_at)
  select id, 0, 0, 0, 0, sha256(uuid_send(id)), false, false, created_at, created_at
  from accounts_account where id = any(%s)
)
insert into billing_allowance(account_id, key, kind, label, credits, period, lasts, priority, anchor_at, zone,
  next_at)
select id, 'daily', 'daily', 'Daily', 100, 'day', 'period', 10, created_at, 'UTC', created_at
from accounts_account where id = any(%s)
"""


def many_accounts(number: int) -> list[uuid.UUID]:
    """Create accounts whose first daily credits are due at noon."""
    created = Account.objects.bulk_create([Account(name="Test", created_at=NOON) for _ in range(number)])
    accounts = [account.id for account in created]
    with connection.cursor() as cursor:
        cursor.execute(WALLETS, [accounts, accounts])
    return accounts


@pytest.mark.fault("C3")
def test_a_refresh_killed_in_the_middle_continues_and_settles_each_account_once():
    accounts = many_accounts(MANY)
    for commits in (3, 2, 3):
        assert is_killed_at(commits, lambda: ledger.settle_due(MIDNIGHT, chunk=300))
    done = Grant.objects.filter(account_id__in=accounts).count()
    assert 0 < done < MANY, "the kills were in the middle"
    assert done % 300 == 0, "a chunk is done or not done"
    assert ledger.settle_due(MIDNIGHT, chunk=300) == MANY - done
    assert ledger.settle_due(MIDNIGHT) == 0
    assert Grant.objects.filter(account_id__in=accounts).count() == MANY
    assert set(Wallet.objects.filter(account_id__in=accounts).values_list("balance", flat=True)) == {D("100")}
    assert broken(accounts[:50]) == []


@pytest.mark.fault("C6")
def test_one_account_that_cannot_be_settled_is_reported_and_the_others_are_finished():
    accounts = many_accounts(50)
    invalid = sorted(accounts)[7]
    Allowance.objects.filter(account_id=invalid).update(lasts="no interval at all")
    with structlog.testing.capture_logs() as logs:
        assert ledger.settle_due(MIDNIGHT, chunk=20) == 49
    (report,) = logs
    assert (report["account"], report["alert"]) == (str(invalid), True)
    assert Grant.objects.filter(account_id__in=accounts).count() == 49
    assert ledger.settle_due(MIDNIGHT, chunk=20) == 0, (
        "it is retried, refused again, and delays no other account"
    )
    Allowance.objects.filter(account_id=invalid).update(lasts="period")
    assert ledger.settle_due(MIDNIGHT, chunk=20) == 1
    assert broken(accounts) == []
