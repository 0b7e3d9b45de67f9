"""Each pair of moves: the first is not yet committed, the second must wait for it.

The database reports the wait, so the tests are deterministic. When the first move commits, the result equals
that of both in sequence; when it is rolled back, that of the second alone.
"""

import datetime as dt
import itertools
import uuid
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
from django.db import transaction

from billing import ledger
from tests.billing.ledger.conftest import DAY, NOON, D, allowance, charge_request, give, new_account, spend
from tests.billing.ledger.state import broken, state_of
from tests.integration.races.stage import Meeting

pytestmark = pytest.mark.usefixtures("committed")
SALE, OTHER_SALE, PROJECT = (uuid.UUID(int=n) for n in (1, 2, 3))
LATER = NOON + DAY  # after midnight, after the hold's end, at the bonus's expiry


RESULT_FIELDS = "credits uncollected debt repaid status balance_before balance_after replayed".split()  # noqa: SIM905


@dataclass
class Scene:
    """A wallet in which every move has an effect and none can be made twice in full."""

    account: uuid.UUID
    used: uuid.UUID
    held: uuid.UUID


@transaction.atomic
def scene() -> Scene:
    account = new_account()
    ledger.set_allowances(account_id=account, allowances=[allowance("daily", "2")], now=NOON)
    give(account, "6", "sold", purchase_id=SALE, priority=1)
    give(account, "5", "soon", kind="bonus", expires_at=LATER)
    give(account, "3", "sold too", purchase_id=OTHER_SALE)
    used = spend(account, "2", "used", project_id=PROJECT)
    hold = ledger.hold(
        charge_request(account, "3", "held"), expires_at=NOON + dt.timedelta(hours=1), now=NOON
    )
    claw_back(account, OTHER_SALE, "clawed", unspent_only=True)
    set_limit(account, "9")
    ledger.set_warning(account_id=account, below=D("5"), now=NOON)
    return Scene(account, used.charge_id, hold.hold_id)


def claw_back(account, sale, key, **terms):
    return ledger.claw_back(account_id=account, purchase_id=sale, key=key, reason="r", now=NOON, **terms)


def set_limit(account, maximum):
    terms = {"kind": "project", "subject": str(PROJECT), "period": "day", "maximum": D(maximum)}
    return ledger.set_limit(account_id=account, now=NOON, **terms)


def charge(on: Scene, key: str, now: dt.datetime = NOON) -> Any:
    return ledger.charge(charge_request(on.account, "5", key, project_id=PROJECT), now)


def batch(on: Scene, key: str, size: int, credits: str) -> Any:
    return ledger.charge_many([charge_request(on.account, credits, f"{key} {n}") for n in range(size)], NOON)


MOVES = {
    "charge": charge,
    "charge with one key": lambda on, _: charge(on, "the key"),
    "batch": lambda on, who: batch(on, who, 2, "3"),
    "large batch": lambda on, who: batch(on, who, 50, "0.1"),
    "grant": lambda on, who: give(on.account, "4", who),
    "grant with one key": lambda on, _: give(on.account, "4", "the key"),
    "hold": lambda on, who: ledger.hold(charge_request(on.account, "5", who), expires_at=LATER, now=NOON),
    "capture": lambda on, who: ledger.capture(
        account_id=on.account, hold_id=on.held, credits=D("6"), key=who, detail={}, now=NOON
    ),
    "release": lambda on, _: ledger.release(account_id=on.account, hold_id=on.held, now=NOON),
    "reverse": lambda on, who: ledger.reverse(
        account_id=on.account, charge_id=on.used, key=who, reason="r", now=NOON
    ),
    "claw back": lambda on, who: claw_back(on.account, SALE, who),
    "restore": lambda on, who: ledger.restore(
        account_id=on.account, claw_back_key="clawed", key=who, reason="r", now=NOON
    ),
    "adjust": lambda on, who: ledger.adjust(
        account_id=on.account, credits=D("-6"), key=who, reason="r", actor="a", now=NOON
    ),
    "change of plan": lambda on, who: ledger.set_allowances(
        account_id=on.account, allowances=[allowance(who, "3", "month")], now=NOON
    ),
    "limit": lambda on, who: set_limit(on.account, {"first": "5", "second": "4"}[who]),
    "settling": lambda on, _: ledger.settle([on.account], LATER),
    "charge at the end": lambda on, who: charge(on, who, LATER),
}

OWN_KEYS = [name for name in MOVES if "one key" not in name]
PAIRS = [*itertools.product(OWN_KEYS, OWN_KEYS), *[(name, name) for name in MOVES if "one key" in name]]


def attempt(move, on, who):
    try:
        return move(on, who)
    except ledger.LedgerError as error:
        return error


def comparable(outcome):
    """Return the result without the ids that differ between two wallets."""
    if isinstance(outcome, list):
        return [comparable(item) for item in outcome]
    if isinstance(outcome, ledger.LedgerError):
        return type(outcome).__name__, vars(outcome)
    return (
        outcome
        if isinstance(outcome, int | Decimal)
        else [getattr(outcome, name, None) for name in RESULT_FIELDS]
    )


def meet(first, second, *, commit):
    """Start the second before the first is committed. Returns its outcome and the state afterwards."""
    on = scene()
    with transaction.atomic():
        attempt(MOVES[first], on, "first")
        meeting = Meeting(lambda: attempt(MOVES[second], on, "second"))
        meeting.start()
        assert meeting.wait_until_it_waits(), f"{second} did not wait for {first}"
        transaction.set_rollback(not commit)
    return meeting.outcome(), on


def check(first, second, *, commit):
    found, on = meet(first, second, commit=commit)
    met = after(on)
    with transaction.atomic():
        undisturbed = scene()
        if commit:
            attempt(MOVES[first], undisturbed, "first")
        expected = attempt(MOVES[second], undisturbed, "second")
        assert after(undisturbed) == met
        transaction.set_rollback(True)
    assert comparable(found) == comparable(expected)


def after(on):
    """Return the whole state after settling at a later time."""
    ledger.settle([on.account], LATER)
    assert broken([on.account]) == []
    return state_of([on.account])


@pytest.mark.fault("L1", "L3", "L4", "L5", "L6", "L8")
@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_a_concurrent_move_has_the_result_of_a_later_one(first, second):
    check(first, second, commit=True)


@pytest.mark.parametrize("second", OWN_KEYS)
@pytest.mark.parametrize("first", ["claw back", "settling"])
def test_a_move_after_a_rolled_back_one_has_the_result_of_a_single_one(first, second):
    check(first, second, commit=False)


@pytest.mark.fault("C1", "L6")
@pytest.mark.parametrize("first", OWN_KEYS)
def test_beat_skips_a_locked_wallet_and_settles_it_the_next_time(first):
    on = scene()
    with transaction.atomic():
        attempt(MOVES[first], on, "first")
        beat = Meeting(lambda: ledger.settle_due(LATER))
        beat.start()
        assert not beat.wait_until_it_waits()
        assert beat.outcome() == 0
    left = 0 if first in {"settling", "charge at the end"} else 1
    assert ledger.settle_due(LATER) == left
    assert broken([on.account]) == []
