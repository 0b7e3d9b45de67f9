"""Crossing the low-credit threshold creates one notice, whatever the move, until the balance was above it."""

import pytest

from billing import ledger
from billing.ledger.models import Notice
from tests.billing.ledger.conftest import DAY, NOON, D, charge_request, give, new_account, spend


@pytest.fixture
def account(db):
    account = new_account()
    give(account, "5", "a")
    give(account, "5", "b")
    ledger.set_warning(account_id=account, below=D("4"), now=NOON)
    return account


def notices_of(account):
    notices = Notice.objects.filter(account_id=account).order_by("id")
    return [(notice.kind, notice.detail["balance"]) for notice in notices]


def adjust(account, amount, key):
    ledger.adjust(account_id=account, credits=D(amount), key=key, reason="r", actor="a", now=NOON)


@pytest.mark.fault("P16")
def test_moves_below_the_threshold_create_no_more_notices(account):
    spend(account, "6", "one")
    assert notices_of(account) == []
    spend(account, "1", "two")
    assert notices_of(account) == [("low", "3.000000")]
    spend(account, "1", "three")
    give(account, "0.5", "little")
    ledger.hold(charge_request(account, "0.5", "hold"), expires_at=NOON + DAY, now=NOON)
    adjust(account, "-0.5", "adjust")
    spend(account, "1.25", "from two grants")
    ledger.charge_many([charge_request(account, "0.25", "batch")], NOON)
    assert ledger.balance(account, NOON).total == 0
    assert notices_of(account) == [("low", "3.000000")]


def test_the_next_crossing_after_a_rise_creates_a_notice(account):
    spend(account, "10", "all")
    assert notices_of(account) == [("depleted", "0.000000")]
    give(account, "4", "more")
    assert ledger.balance(account, NOON).low is False, "a balance at the threshold is not below it"
    spend(account, "0.000001", "again")
    assert notices_of(account) == [("depleted", "0.000000"), ("low", "3.999999")]


def test_a_refused_charge_creates_no_notice(account):
    with pytest.raises(ledger.InsufficientCredits):
        spend(account, "11")
    assert notices_of(account) == []


def test_an_expiry_that_crosses_the_threshold_creates_a_notice(account):
    give(account, "3", "short", kind="bonus", priority=90, expires_at=NOON + DAY)
    spend(account, "8", "use")
    assert notices_of(account) == []
    ledger.settle([account], NOON + DAY)
    assert notices_of(account) == [("low", "2.000000")]


def test_an_expiry_down_to_the_threshold_creates_no_notice(account):
    give(account, "3", "short", kind="bonus", priority=90, expires_at=NOON + DAY)
    spend(account, "6", "use")
    assert ledger.balance(account, NOON + DAY).total == D("4")
    assert ledger.balance(account, NOON + DAY).low is False
    assert notices_of(account) == []
    spend(account, "0.5", "next", NOON + DAY)
    assert notices_of(account) == [("low", "3.500000")]
