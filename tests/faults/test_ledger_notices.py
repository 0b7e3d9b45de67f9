"""Crossing the low-credit threshold is told of once, whatever crosses it, until it was above again."""

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


def told(account):
    notices = Notice.objects.filter(account_id=account).order_by("id")
    return [(one.kind, one.detail["balance"]) for one in notices]


def adjust(account, amount, key):
    ledger.adjust(account_id=account, credits=D(amount), key=key, reason="r", actor="a", now=NOON)


@pytest.mark.fault("P16")
def test_every_move_below_the_threshold_is_silent_after_the_first(account):
    spend(account, "6", "one")
    assert told(account) == []
    spend(account, "1", "two")
    assert told(account) == [("low", "3.000000")]
    spend(account, "1", "three")
    give(account, "0.5", "little")
    ledger.hold(charge_request(account, "0.5", "hold"), expires_at=NOON + DAY, now=NOON)
    adjust(account, "-0.5", "adjust")
    spend(account, "1.25", "from two grants")
    ledger.charge_many([charge_request(account, "0.25", "batch")], NOON)
    assert ledger.balance(account, NOON).total == 0
    assert told(account) == [("low", "3.000000")]


def test_once_it_was_above_again_the_next_crossing_is_told_of(account):
    spend(account, "10", "all")
    assert told(account) == [("depleted", "0.000000")]
    give(account, "4", "more")
    assert ledger.balance(account, NOON).low is False, "at the threshold is not below it"
    spend(account, "0.000001", "again")
    assert told(account) == [("depleted", "0.000000"), ("low", "3.999999")]


def test_a_refused_charge_tells_nothing(account):
    with pytest.raises(ledger.InsufficientCredits):
        spend(account, "11")
    assert told(account) == []


def test_an_expiry_that_crosses_it_is_told_of(account):
    give(account, "3", "short", kind="bonus", priority=90, expires_at=NOON + DAY)
    spend(account, "8", "use")
    assert told(account) == []
    ledger.settle([account], NOON + DAY)
    assert told(account) == [("low", "2.000000")]


def test_an_expiry_down_to_the_threshold_is_not_below_it(account):
    give(account, "3", "short", kind="bonus", priority=90, expires_at=NOON + DAY)
    spend(account, "6", "use")
    assert ledger.balance(account, NOON + DAY).total == D("4")
    assert ledger.balance(account, NOON + DAY).low is False
    assert told(account) == []
    spend(account, "0.5", "next", NOON + DAY)
    assert told(account) == [("low", "3.500000")]
