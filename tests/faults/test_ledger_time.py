"""Time in the corners that the model found: credits that come back into an empty grant still end with it."""

import datetime as dt
import uuid

import pytest

from accounts.models import Account
from billing import ledger
from billing.ledger.models import Grant
from tests.billing.ledger.conftest import DAY, NOON, D, allowance, charge_request, give, new_account, spend
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
    purchase, soon = account, NOON + dt.timedelta(minutes=2)
    give(account, "5", purchase_id=purchase, expires_at=NOON + DAY)
    if way == "reverse":
        charge = spend(account, "5")
    elif way == "restore":
        ledger.claw_back(account_id=account, purchase_id=purchase, key="r", reason="r", now=NOON)
    else:
        hold = ledger.hold(charge_request(account, "5", "held"), expires_at=NOON + 9 * DAY, now=NOON)
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
def test_an_allowance_of_a_former_plan_returned_by_a_reversal_expires_with_its_day(account):
    ledger.set_allowances(account_id=account, allowances=[allowance("daily", "5")], now=NOON)
    charge = spend(account, "1")
    ledger.set_allowances(account_id=account, allowances=[], now=NOON)
    ledger.reverse(account_id=account, charge_id=charge.charge_id, key="r", reason="failed", now=NOON)
    assert ledger.balance(account, NOON).total == D("1")
    assert ledger.balance(account, NOON + DAY).total == 0


@pytest.mark.fault("T4")
def test_moving_west_at_midnight_gives_no_second_day_within_hours(account):
    """In New York it is still yesterday's evening, whose midnight comes four hours later."""
    ledger.set_allowances(account_id=account, allowances=[allowance("daily", "5")], now=NOON)
    midnight = NOON + DAY / 2
    Account.objects.filter(id=account).update(zone="America/New_York")
    ledger.settle([account], midnight)
    (grant,) = ledger.balance(account, midnight).grants
    assert grant.expires_at == midnight + dt.timedelta(hours=28), "New York's midnight of the next day"
    spend(account, "5", now=midnight)
    assert ledger.balance(account, midnight + dt.timedelta(hours=5)).total == 0
    assert ledger.balance(account, midnight + dt.timedelta(hours=28)).total == D("5")


@pytest.mark.fault("P15")
def test_a_granted_month_is_not_granted_again_when_its_anchor_is_restored(account):
    def subscribe(anchor, at):
        terms = [allowance("pro", "100", "month", anchor_at=anchor)]
        return ledger.set_allowances(account_id=account, allowances=terms, now=at)

    second = dt.timedelta(seconds=1)
    assert subscribe(NOON, NOON) == D("100")
    subscribe(NOON + second, NOON + second)
    given = subscribe(NOON, NOON + 2 * second)
    assert subscribe(NOON, NOON + 3 * second) == given
    months = Grant.objects.filter(account_id=account).values_list("created_at", flat=True)
    assert sorted(months) == [NOON, NOON + second]


@pytest.mark.fault("T7")
@pytest.mark.parametrize("together", [False, True], ids=["alone", "in a large batch"])
def test_a_charge_in_the_very_microsecond_of_a_reset_counts_in_the_new_window(account, together):
    project, midnight = uuid.uuid4(), NOON + DAY / 2
    give(account, "100")
    limit = {"kind": "project", "subject": str(project), "period": "day", "maximum": D("10"), "now": NOON}
    ledger.set_limit(account_id=account, **limit)
    spend(account, "9", "before", project_id=project)
    if together:
        uses = [charge_request(account, "0.2", f"use {n}", project_id=project) for n in range(50)]
        assert {type(one) for one in ledger.charge_many(uses, midnight)} == {ledger.Charged}
    else:
        spend(account, "10", "at", midnight, project_id=project)
    with pytest.raises(ledger.LimitReached) as refusal:
        spend(account, "0.000001", "after", midnight + dt.timedelta(microseconds=1), project_id=project)
    assert refusal.value.used == D("10")
