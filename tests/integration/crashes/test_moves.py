"""A process is killed at each commit of a move; a repeated request has the result of an uninterrupted one."""

import datetime as dt
import uuid

import pytest

from billing import ledger
from tests.billing.ledger.conftest import DAY, NOON, D, allowance, charge_request, give, new_account, spend
from tests.billing.ledger.state import broken, state_of
from tests.integration.crashes.process import every_boundary

pytestmark = pytest.mark.usefixtures("committed")
PURCHASE = uuid.UUID(int=1)
SOON, LATER = NOON + dt.timedelta(hours=1), NOON + DAY


def prepared():
    """A wallet in which every operation has an effect, with the ids they need."""
    account = new_account()
    ledger.set_allowances(account_id=account, allowances=[allowance("daily", "10")], now=NOON)
    give(account, "6", "sold", purchase_id=PURCHASE, priority=1)
    give(account, "5", "soon", kind="bonus", expires_at=LATER)
    used = spend(account, "4", "used")
    terms = {"account_id": account, "purchase_id": PURCHASE, "unspent_only": True, "reason": "r"}
    ledger.claw_back(key="clawed", now=NOON, **terms)
    give(account, "3", "sold again", purchase_id=PURCHASE)
    return account, used.charge_id


def hold_and_capture(account, _):
    held = ledger.hold(charge_request(account, "3", "hold"), expires_at=SOON, now=NOON)
    ledger.capture(
        account_id=account, hold_id=held.hold_id, credits=D("5"), key="capture", detail={}, now=NOON
    )


def hold_and_release(account, _):
    held = ledger.hold(charge_request(account, "3", "hold"), expires_at=SOON, now=NOON)
    if held.status == "held":
        ledger.release(account_id=account, hold_id=held.hold_id, now=NOON)


def refund_and_failure(account, _):
    terms = {"account_id": account, "reason": "r", "now": NOON}
    ledger.claw_back(purchase_id=PURCHASE, key="refund", **terms)
    ledger.restore(claw_back_key="refund", key="failed", **terms)


def plan_and_limit(account, _):
    terms = [allowance("pro", "100", "month"), allowance("daily", "20")]
    ledger.set_allowances(account_id=account, allowances=terms, carry_over=True, now=NOON)
    limit = {"kind": "project", "subject": str(uuid.UUID(int=7)), "period": "day", "maximum": D("3")}
    ledger.set_limit(account_id=account, now=NOON, **limit)


OPERATIONS = {
    "grant": lambda account, _: give(account, "5", "more"),
    "charge": lambda account, _: spend(account, "3", "more"),
    "batch": lambda account, _: ledger.charge_many(
        [charge_request(account, "0.1", f"use {n}") for n in range(60)], NOON
    ),
    "hold and capture": hold_and_capture,
    "hold and release": hold_and_release,
    "reversal": lambda account, charge: ledger.reverse(
        account_id=account, charge_id=charge, key="back", reason="failed", now=NOON
    ),
    "refund that fails": refund_and_failure,
    "adjustment": lambda account, _: ledger.adjust(
        account_id=account, credits=D("-3"), key="adjust", reason="r", actor="a", now=NOON
    ),
    "change of plan": plan_and_limit,
    "refresh": lambda account, _: ledger.settle_due(LATER),
    "refresh on touch": lambda account, _: spend(account, "3", "more", LATER),
}


@pytest.mark.fault("L9", "L14", "C2")
@pytest.mark.parametrize("name", OPERATIONS)
def test_the_same_request_after_a_kill_at_any_commit_has_the_result_of_an_uninterrupted_one(name):
    operation = OPERATIONS[name]
    account, charge = prepared()
    operation(account, charge)
    expected = state_of([account])

    def scenario(_):
        account, charge = prepared()

        def check():
            assert broken([account]) == [], "the state after the kill is inconsistent"
            operation(account, charge)
            assert state_of([account]) == expected
            assert broken([account]) == []

        return lambda: operation(account, charge), check

    assert every_boundary(scenario) >= 2, "the start and at least one commit"


@pytest.mark.fault("L9")
def test_a_retry_after_a_crash_between_commit_and_response_gets_the_original_result():
    from tests.integration.crashes.process import is_killed_at

    account, _ = prepared()
    before = ledger.balance(account, NOON).total
    assert is_killed_at(1, lambda: spend(account, "3", "more"))
    after = ledger.balance(account, NOON).total
    assert before - after == D("3"), "the charge was committed, and the caller got no response"
    again = spend(account, "3", "more")
    assert (again.replayed, again.balance_before, again.balance_after) == (True, before, after)
