"""Refunds and debt in the corners that the model found: nothing is taken twice, nothing that is not owed."""

import uuid

import pytest

from billing import ledger
from billing.ledger.models import Entry
from tests.billing.ledger.conftest import DAY, NOON, D, allowance, give, new_account, spend
from tests.billing.ledger.state import broken


@pytest.fixture
def account(db):
    return new_account()


def claw_back(account, purchase, now=NOON, **terms):
    return ledger.claw_back(
        account_id=account, purchase_id=purchase, key="refund", reason="r", now=now, **terms
    )


@pytest.mark.fault("P12", "P13")
def test_credits_returned_after_their_grant_ended_are_taken_back_and_not_owed_too(account):
    purchase, later = uuid.uuid4(), NOON + 2 * DAY
    give(account, "10", purchase_id=purchase, expires_at=NOON + DAY)
    charged = spend(account, "4")
    ledger.reverse(account_id=account, charge_id=charged.charge_id, key="back", reason="failed", now=later)
    taken = claw_back(account, purchase, later)
    assert (taken.credits, taken.debt) == (D("4"), 0)
    assert broken([account]) == []


@pytest.mark.fault("P13")
def test_returned_credits_that_were_spent_again_are_owed_once(account):
    purchase, later = uuid.uuid4(), NOON + 2 * DAY
    give(account, "10", purchase_id=purchase, expires_at=NOON + DAY)
    charged = spend(account, "4")
    ledger.reverse(account_id=account, charge_id=charged.charge_id, key="back", reason="failed", now=later)
    spend(account, "3", "again", later)
    taken = claw_back(account, purchase, later)
    assert (taken.credits, taken.debt) == (D("1"), D("3"))


@pytest.mark.fault("P12", "P13")
def test_unspent_credits_of_every_grant_of_the_purchase_are_taken_before_debt_is_recorded(account):
    purchase = uuid.uuid4()
    give(account, "60", "pack", purchase_id=purchase, priority=1)
    give(account, "40", "bonus", purchase_id=purchase)
    spend(account, "60")
    taken = claw_back(account, purchase, credits=D("50"))
    assert (taken.credits, taken.debt, taken.balance_after) == (D("40"), D("10"), 0)
    assert broken([account]) == []


@pytest.mark.fault("P13")
def test_a_debt_is_repaid_by_new_credits_only(account):
    """What the account had when it came into debt stays its own; it cannot spend it meanwhile."""
    purchase = uuid.uuid4()
    give(account, "30", purchase_id=purchase, priority=1)
    spend(account, "30")
    terms = [allowance("monthly", "100", "month"), allowance("daily", "5")]
    ledger.set_allowances(account_id=account, allowances=terms, now=NOON)
    claw_back(account, purchase)
    balance = ledger.balance(account, NOON)
    assert (balance.total, balance.debt) == (D("105"), D("30"))
    balance = ledger.balance(account, NOON + DAY)
    assert (balance.total, balance.debt) == (D("100"), D("25")), (
        "the new day's 5 repaid, the month's 100 stayed"
    )
    assert broken([account]) == []


@pytest.mark.fault("P14")
def test_a_won_dispute_over_spent_credits_lifts_the_debt_by_one_entry_and_gives_nothing(account):
    purchase = uuid.uuid4()
    give(account, "30", purchase_id=purchase)
    spend(account, "30")
    claw_back(account, purchase)
    ledger.restore(account_id=account, claw_back_key="refund", key="won", reason="won", now=NOON)
    entries = Entry.objects.filter(account_id=account, kind="restore")
    assert [(one.credits, one.debt) for one in entries] == [(0, D("-30"))]
    assert broken([account]) == []
