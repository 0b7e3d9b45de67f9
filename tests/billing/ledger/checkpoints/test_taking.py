"""Checkpoints cover what moved, add up to the totals of all wallets, and never sign a contradiction."""

from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models import Sum

from billing import ledger
from billing.ledger.checkpoints import taking
from billing.ledger.models import Audit, Checkpoint, Head, Wallet
from billing.tasks import checkpoint_ledger
from tests.billing.ledger.checkpoints.conftest import checkpoint, found
from tests.billing.ledger.conftest import NOON, charge_request, give, new_account, spend

pytestmark = [pytest.mark.django_db, pytest.mark.owner]


def test_the_first_covers_every_wallet_and_later_ones_what_moved(spender):
    checkpoint_ledger()
    assert Head.objects.filter(checkpoint=1).count() == Wallet.objects.count()
    assert checkpoint() == 0

    spend(spender, "1", "c")
    assert checkpoint() == 1
    head = Head.objects.get(checkpoint=2)
    wallet = Wallet.objects.get(account_id=spender)
    assert (head.account_id, head.seq, bytes(head.head)) == (spender, 4, bytes(wallet.head))
    assert found() == []


def test_the_totals_are_those_of_all_wallets(spender):
    checkpoint()
    ledger.hold(charge_request(spender, "7", "h"), expires_at=NOON.replace(hour=13), now=NOON)
    give(new_account(), "3", "other")
    checkpoint()
    totals = Wallet.objects.aggregate(*(Sum(name) for name in ("balance", "held", "debt", "seq")))
    newest = Checkpoint.objects.get(number=2)
    assert (newest.balance, newest.held, newest.debt) == (
        totals["balance__sum"],
        totals["held__sum"],
        totals["debt__sum"],
    )
    assert newest.held == Decimal(7)
    assert (newest.entries, newest.wallets) == (totals["seq__sum"], Wallet.objects.count())


def test_each_contains_the_hash_of_the_one_before(spender):
    checkpoint()
    spend(spender, "1", "c")
    checkpoint()
    one, two = Checkpoint.objects.order_by("number")
    assert bytes(two.previous) == bytes(one.hash)
    assert bytes(one.previous) == bytes(32)


def test_many_wallets_are_read_in_chunks_and_spread_over_checkpoints(spender, monkeypatch):
    for number in range(6):
        give(new_account(), "1", f"g{number}")
    monkeypatch.setattr(taking, "CHUNK", 3)
    monkeypatch.setattr(taking, "LARGEST", 5)
    assert checkpoint() == 2
    assert [one.moved for one in Checkpoint.objects.order_by("number")] == [5, 3]
    assert Checkpoint.objects.get(number=2).wallets == 8
    assert found() == []


def test_the_audits_since_the_last_one_are_covered(spender):
    checkpoint()
    ledger.audit.run(now=NOON)  # takes a checkpoint at its end
    newest = Checkpoint.objects.get(number=2)
    assert (newest.moved, newest.audits) == (0, [Audit.objects.get().pk])
    assert checkpoint() == 0


@pytest.mark.fault("L22")
def test_a_wallet_that_lost_entries_is_not_signed_again(spender, tamper):
    checkpoint()
    tamper("delete from billing_entry where account_id = %s and seq = 3", spender)
    tamper("update billing_wallet set seq = 2 where account_id = %s", spender)
    assert checkpoint() == 0
    spend(spender, "1", "c")
    spend(spender, "1", "d")
    assert checkpoint() == 0
    assert any("entry 3: the entry has another hash" in text for text in found())


def test_another_process_that_took_one_first_wins(spender, monkeypatch):
    """The wallets were read, then another checkpoint recorded them before this one took the lock."""
    read: list[dict[str, Any]] = list(taking._moved())
    checkpoint()
    monkeypatch.setattr(taking, "_moved", lambda: iter(read))
    assert checkpoint() == 0
    assert found() == []


@pytest.mark.fault("L11")
@pytest.mark.parametrize("table", ["billing_checkpoint", "billing_head"])
@pytest.mark.parametrize("statement", ["delete from {}", "update {} set balance = 1", "truncate {}"])
def test_the_database_refuses_to_change_or_remove_them(spender, table, statement):
    checkpoint()
    with (
        pytest.raises(IntegrityError, match="append-only"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement.format(table))
