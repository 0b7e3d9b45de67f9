"""Time in the corners that the model found: credits that come back into an empty grant still end with it."""

import datetime as dt

import pytest

from billing import ledger
from tests.billing.ledger.conftest import DAY, NOON, D, allowance, give, new_account, order, spend
from tests.billing.ledger.state import broken


@pytest.fixture
def account(db):
    return new_account()


def settle_for_another_reason(account):
    """The wallet is settled while the grant is empty: nothing of it is due then."""
    give(account, "1", "short", expires_at=NOON + dt.timedelta(minutes=1))
    ledger.settle([account], NOON + dt.timedelta(minutes=1))


@pytest.mark.fault("L7")
@pytest.mark.parametrize("way", ["reverse", "release", "capture", "restore"])
def test_credits_that_come_back_into_an_empty_grant_end_with_it(account, way):
    sale, soon = account, NOON + dt.timedelta(minutes=2)
    give(account, "5", purchase_id=sale, expires_at=NOON + DAY)
    if way == "reverse":
        charge = spend(account, "5")
    elif way == "restore":
        ledger.claw_back(account_id=account, purchase_id=sale, key="r", reason="r", now=NOON)
    else:
        hold = ledger.hold(order(account, "5", "held"), expires_at=NOON + 9 * DAY, now=NOON)
    settle_for_another_reason(account)
    terms = {"account_id": account, "now": soon}
    if way == "reverse":
        ledger.reverse(charge_id=charge.charge_id, key="back", reason="failed", **terms)
    elif way == "restore":
        ledger.restore(claw_back_key="r", key="won", reason="won", **terms)
    elif way == "capture":
        ledger.capture(hold_id=hold.hold_id, credits=D("0"), key="c", detail={}, **terms)
    else:
        ledger.release(hold_id=hold.hold_id, **terms)
    assert ledger.balance(account, soon).total == D("5")
    assert ledger.balance(account, NOON + DAY).total == 0
    assert broken([account]) == []


@pytest.mark.fault("L7")
def test_what_a_left_plan_gave_and_a_reversal_brought_back_ends_with_its_day(account):
    ledger.set_allowances(account_id=account, allowances=[allowance("daily", "5")], now=NOON)
    charge = spend(account, "1")
    ledger.set_allowances(account_id=account, allowances=[], now=NOON)
    ledger.reverse(account_id=account, charge_id=charge.charge_id, key="r", reason="failed", now=NOON)
    assert ledger.balance(account, NOON).total == D("1")
    assert ledger.balance(account, NOON + DAY).total == 0
