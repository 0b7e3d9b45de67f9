"""Concurrent ends of a hold: captured, released or expired, exactly one of them."""

import datetime as dt

import pytest

from billing import ledger
from billing.ledger.models import Charge, Hold
from tests.billing.ledger.conftest import NOON, D, charge_request, give, new_account
from tests.billing.ledger.state import broken
from tests.integration.races.concurrency import at_once, of_kind

pytestmark = pytest.mark.usefixtures("committed")
SOON = NOON + dt.timedelta(minutes=5)


def held(account, amount="10"):
    return ledger.hold(charge_request(account, amount, "hold"), expires_at=SOON, now=NOON)


def capture(account, hold, amount="10", key="capture", now=NOON):
    return ledger.capture(
        account_id=account, hold_id=hold.hold_id, credits=D(amount), key=key, detail={}, now=now
    )


def release(account, hold, now=NOON):
    return ledger.release(account_id=account, hold_id=hold.hold_id, now=now)


@pytest.mark.fault("L4")
@pytest.mark.parametrize("turn", range(4))
def test_of_captures_and_releases_at_once_exactly_one_wins(turn):
    account = new_account()
    give(account, "100")
    hold = held(account)
    captures = [lambda n=n: capture(account, hold, "4", f"capture {n}") for n in range(6)]
    releases = [lambda: release(account, hold)] * 6
    outcomes = at_once(captures + releases if turn % 2 else releases + captures)
    assert len(of_kind(outcomes, ledger.HoldClosed)) == 11
    won = of_kind(outcomes, ledger.Charged)
    assert len(won) + len(of_kind(outcomes, ledger.Held)) == 1
    balance = ledger.balance(account, NOON)
    assert (balance.total, balance.held) == (D("96") if won else D("100"), 0)
    assert Hold.objects.get(account_id=account).status == ("captured" if won else "released")
    assert broken([account]) == []


@pytest.mark.fault("L4")
def test_one_capture_sent_many_times_at_once_is_one_charge():
    account = new_account()
    give(account, "12")
    hold = held(account)
    outcomes = at_once([lambda: capture(account, hold, "15")] * 16)
    assert {type(outcome) for outcome in outcomes} == {ledger.Charged}
    assert sum(not outcome.replayed for outcome in outcomes) == 1
    assert {(outcome.credits, outcome.uncollected, outcome.balance_after) for outcome in outcomes} == {
        (D("15"), D("3"), 0)
    }


@pytest.mark.fault("L4")
def test_a_capture_above_the_hold_and_charges_share_the_balance():
    account = new_account()
    give(account, "20")
    hold = held(account)

    def charge(n):
        return ledger.charge(charge_request(account, "1", f"use {n}"), NOON)

    outcomes = at_once([lambda: capture(account, hold, "18"), *[lambda n=n: charge(n) for n in range(12)]])
    (captured, *_), uses = of_kind(outcomes, ledger.Charged), of_kind(outcomes[1:], ledger.Charged)
    collected = captured.credits - captured.uncollected
    assert collected + len(uses) == 20
    assert collected >= 10
    assert ledger.balance(account, NOON).total == 0
    assert broken([account]) == []


@pytest.mark.fault("L5")
@pytest.mark.parametrize("turn", range(3))
def test_an_ended_hold_gives_itself_back_once_and_a_late_capture_is_refused(turn):
    account = new_account()
    give(account, "10")
    hold = held(account)
    outcomes = at_once(
        [lambda n=n: capture(account, hold, "10", f"capture {n}", SOON) for n in range(4)]
        + [lambda: release(account, hold, SOON)] * 2
        + [lambda: ledger.settle([account], SOON), lambda: ledger.settle_due(SOON)]
        + [lambda: ledger.charge(charge_request(account, "10", "afresh"), SOON)]
    )
    assert [type(outcome) for outcome in outcomes[:6]] == [ledger.HoldClosed] * 6
    assert isinstance(outcomes[-1], ledger.Charged), "what came back is there for a fresh charge"
    assert Charge.objects.filter(account_id=account).count() == 1
    assert Hold.objects.get(account_id=account).status == "expired"
    assert broken([account]) == []


@pytest.mark.fault("L4")
def test_holds_at_once_never_set_aside_more_than_there_is():
    account = new_account()
    give(account, "30")
    outcomes = at_once(
        [
            lambda n=n: ledger.hold(charge_request(account, "4", f"hold {n}"), expires_at=SOON, now=NOON)
            for n in range(16)
        ]
    )
    assert len(of_kind(outcomes, ledger.Held)) == 7
    balance = ledger.balance(account, NOON)
    assert (balance.total, balance.held) == (D("2"), D("28"))
    assert broken([account]) == []
