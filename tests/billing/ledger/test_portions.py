"""A wallet with very much due is settled in portions, each in a transaction of its own."""

import datetime as dt

import pytest
from django.db import DatabaseError, connection

from billing import ledger
from billing.ledger import database, settling
from billing.ledger.models import Grant, Hold, Wallet
from tests.billing.ledger.conftest import DAY, NOON, D, charge_request, give, new_account, spend
from tests.billing.ledger.state import broken

pytestmark = [pytest.mark.django_db, pytest.mark.fault("L16", "L18")]
MINUTE = dt.timedelta(minutes=1)


def portions_of(number):
    """Change the size of a portion until the test's transaction is rolled back."""
    with connection.cursor() as cursor:
        cursor.execute(
            "create or replace function ledger_portion() returns int language sql immutable as"
            f" 'select {number}'"
        )


@pytest.fixture(params=[1, 4])
def account(request, db):
    """An account with 12 holds and 6 grants that end at as many instants as the parameter says."""
    account = new_account()
    for n in range(6):
        ends = NOON + 2 * MINUTE + n % request.param * MINUTE
        give(account, "1", f"grant {n}", priority=50, expires_at=ends)
    give(account, "100")
    for n in range(12):
        ends = NOON + MINUTE + n % request.param * MINUTE
        ledger.hold(charge_request(account, "0.5", f"hold {n}"), expires_at=ends, now=NOON)
    portions_of(5)
    return account


def test_a_move_of_a_wallet_with_much_due_settles_it_first(account):
    now = NOON + DAY
    with pytest.raises(database.MuchDue), database.transaction.atomic():
        database.row("select ledger_lock(%(account_id)s, %(now)s)", {"account_id": account, "now": now})
    assert spend(account, "100", now=now).balance_after == 0
    assert set(Hold.objects.values_list("status", flat=True)) == {"expired"}
    assert Wallet.objects.get().next_due_at is None
    assert broken([account]) == []


def test_each_portion_settles_the_earliest_effects(account):
    now, portions = NOON + DAY, 0
    while database.row(database._SETTLE, {"account_ids": [account], "now": now})["settled"]:
        portions += 1
        wallet = Wallet.objects.get()
        assert wallet.next_due_at is None or wallet.next_due_at >= wallet.moved_at
        assert broken([account]) == []
    assert portions >= 3
    assert ledger.balance(account, now).total == D("100")


def test_the_beat_job_settles_it_too_and_a_batch_charges_it(account):
    other = new_account()
    give(other, "1", "soon", expires_at=NOON + MINUTE)
    uses = [charge_request(account, "1", f"use {n}") for n in range(60)]
    assert ledger.settle_due(NOON + DAY, chunk=10) >= 4
    assert all(isinstance(one, ledger.Charged) for one in ledger.charge_many(uses, NOON + DAY))
    assert broken([account, other]) == []


def test_a_batch_settles_a_wallet_with_much_due(account):
    uses = [charge_request(account, "1", f"use {n}") for n in range(3)]
    assert all(isinstance(one, ledger.Charged) for one in ledger.charge_many(uses, NOON + DAY))
    assert broken([account]) == []


def test_a_database_that_refuses_every_settling_is_reported(account, monkeypatch):
    """For example a read-only one; nothing is due, or nothing can be settled."""
    new, error = (
        new_account(),
        DatabaseError("cannot execute SELECT FOR NO KEY UPDATE in a read-only transaction"),
    )

    def refuse(*_):
        raise error

    monkeypatch.setattr(settling.database, "row", refuse)
    with pytest.raises(DatabaseError):
        ledger.settle_due(NOON)
    Wallet.objects.filter(account_id=new).update(next_due_at=NOON)
    with pytest.raises(DatabaseError):
        ledger.settle_due(NOON + DAY)


def test_grants_that_the_end_of_a_tree_fills_again_leave_no_ended_grant_open():
    portions_of(1)
    account = new_account()
    give(account, "10", "held whole", expires_at=NOON + 2 * MINUTE)
    root = ledger.hold(charge_request(account, "10", "root"), expires_at=NOON + MINUTE, now=NOON)
    child = ledger.hold(
        charge_request(account, "4", "child"), expires_at=NOON + MINUTE, now=NOON, parent=root.hold_id
    )
    ledger.release(account_id=account, hold_id=child.hold_id, now=NOON)
    give(account, "20", "free", expires_at=NOON + 3 * MINUTE)
    give(account, "30", "lasting")
    ledger.hold(
        charge_request(account, "1", "plain", covers=("other",)), expires_at=NOON + 5 * MINUTE, now=NOON
    )
    ledger.settle([account], NOON + 10 * MINUTE)
    assert broken([account]) == []
    assert Wallet.objects.get(account_id=account).balance == 30
    assert not Grant.objects.filter(account_id=account, open=True, expires_at__lte=NOON + 10 * MINUTE)
