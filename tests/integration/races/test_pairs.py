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
from tests.integration.races.concurrency import BackgroundCall

pytestmark = pytest.mark.usefixtures("committed")
PURCHASE, OTHER_PURCHASE, PROJECT = (uuid.UUID(int=n) for n in (1, 2, 3))
LATER = NOON + DAY  # after midnight, after the hold's end, at the bonus's expiry


RESULT_FIELDS = "credits uncollected debt repaid status balance_before balance_after replayed".split()  # noqa: SIM905


@dataclass
class Wallet:
    """A wallet in which every move has an effect and none can be made twice in full."""

    account: uuid.UUID
    charge: uuid.UUID
    hold: uuid.UUID


@transaction.atomic
def new_wallet() -> Wallet:
    account = new_account()
    ledger.set_allowances(account_id=account, allowances=[allowance("daily", "2")], now=NOON)
    give(account, "6", "sold", purchase_id=PURCHASE, priority=1)
    give(account, "5", "soon", kind="bonus", expires_at=LATER)
    give(account, "3", "sold too", purchase_id=OTHER_PURCHASE)
    used = spend(account, "2", "used", project_id=PROJECT)
    hold = ledger.hold(
        charge_request(account, "3", "held"), expires_at=NOON + dt.timedelta(hours=1), now=NOON
    )
    claw_back(account, OTHER_PURCHASE, "clawed", unspent_only=True)
    set_limit(account, "9")
    ledger.set_warning(account_id=account, below=D("5"), now=NOON)
    return Wallet(account, used.charge_id, hold.hold_id)


def claw_back(account, purchase, key, **terms):
    return ledger.claw_back(account_id=account, purchase_id=purchase, key=key, reason="r", now=NOON, **terms)


def set_limit(account, maximum):
    terms = {"kind": "project", "subject": str(PROJECT), "period": "day", "maximum": D(maximum)}
    return ledger.set_limit(account_id=account, now=NOON, **terms)


def charge(wallet: Wallet, key: str, now: dt.datetime = NOON) -> Any:
    return ledger.charge(charge_request(wallet.account, "5", key, project_id=PROJECT), now)


def batch(wallet: Wallet, key: str, size: int, credits: str) -> Any:
    return ledger.charge_many(
        [charge_request(wallet.account, credits, f"{key} {n}") for n in range(size)], NOON
    )


MOVES = {
    "charge": charge,
    "charge with one key": lambda wallet, _: charge(wallet, "the key"),
    "batch": lambda wallet, key: batch(wallet, key, 2, "3"),
    "large batch": lambda wallet, key: batch(wallet, key, 50, "0.1"),
    "grant": lambda wallet, key: give(wallet.account, "4", key),
    "grant with one key": lambda wallet, _: give(wallet.account, "4", "the key"),
    "hold": lambda wallet, key: ledger.hold(
        charge_request(wallet.account, "5", key), expires_at=LATER, now=NOON
    ),
    "capture": lambda wallet, key: ledger.capture(
        account_id=wallet.account, hold_id=wallet.hold, credits=D("6"), key=key, detail={}, now=NOON
    ),
    "release": lambda wallet, _: ledger.release(account_id=wallet.account, hold_id=wallet.hold, now=NOON),
    "reverse": lambda wallet, key: ledger.reverse(
        account_id=wallet.account, charge_id=wallet.charge, key=key, reason="r", now=NOON
    ),
    "claw back": lambda wallet, key: claw_back(wallet.account, PURCHASE, key),
    "restore": lambda wallet, key: ledger.restore(
        account_id=wallet.account, claw_back_key="clawed", key=key, reason="r", now=NOON
    ),
    "adjust": lambda wallet, key: ledger.adjust(
        account_id=wallet.account, credits=D("-6"), key=key, reason="r", actor="a", now=NOON
    ),
    "change of plan": lambda wallet, key: ledger.set_allowances(
        account_id=wallet.account, allowances=[allowance(key, "3", "month")], now=NOON
    ),
    "limit": lambda wallet, key: set_limit(wallet.account, {"first": "5", "second": "4"}[key]),
    "settling": lambda wallet, _: ledger.settle([wallet.account], LATER),
    "charge at the end": lambda wallet, key: charge(wallet, key, LATER),
}

OWN_KEYS = [name for name in MOVES if "one key" not in name]
PAIRS = [*itertools.product(OWN_KEYS, OWN_KEYS), *[(name, name) for name in MOVES if "one key" in name]]


def attempt(move, wallet, key):
    try:
        return move(wallet, key)
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


def run_concurrently(first, second, *, commit):
    """Start the second before the first is committed. Returns its outcome and the state afterwards."""
    wallet = new_wallet()
    with transaction.atomic():
        attempt(MOVES[first], wallet, "first")
        call = BackgroundCall(lambda: attempt(MOVES[second], wallet, "second"))
        call.start()
        assert call.is_blocked(), f"{second} did not wait for {first}"
        transaction.set_rollback(not commit)
    return call.outcome(), wallet


def check(first, second, *, commit):
    found, wallet = run_concurrently(first, second, commit=commit)
    concurrent = after(wallet)
    with transaction.atomic():
        sequential = new_wallet()
        if commit:
            attempt(MOVES[first], sequential, "first")
        expected = attempt(MOVES[second], sequential, "second")
        assert after(sequential) == concurrent
        transaction.set_rollback(True)
    assert comparable(found) == comparable(expected)


def after(wallet):
    """Return the whole state after settling at a later time."""
    ledger.settle([wallet.account], LATER)
    assert broken([wallet.account]) == []
    return state_of([wallet.account])


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
    wallet = new_wallet()
    with transaction.atomic():
        attempt(MOVES[first], wallet, "first")
        beat = BackgroundCall(lambda: ledger.settle_due(LATER))
        beat.start()
        assert not beat.is_blocked()
        assert beat.outcome() == 0
    left = 0 if first in {"settling", "charge at the end"} else 1
    assert ledger.settle_due(LATER) == left
    assert broken([wallet.account]) == []
