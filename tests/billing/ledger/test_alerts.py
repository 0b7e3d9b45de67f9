"""The low-credit threshold: one notice each time the balance falls below it, whatever move does so."""

import datetime as dt
import uuid

import pytest

from billing import ledger
from billing.ledger.models import Entry, Notice, Wallet
from tests.billing.ledger.conftest import (
    DAY,
    NOON,
    D,
    allowance,
    charge_request,
    give,
    new_account,
    spend,
)
from tests.billing.ledger.statement import notices

pytestmark = pytest.mark.django_db
HOUR = dt.timedelta(hours=1)
PURCHASE = uuid.UUID(int=5)


def warn(account, below: str | None, now=NOON) -> bool:
    return ledger.set_warning(account_id=account, below=None if below is None else D(below), now=now)


def hold(account, amount: str, key: str = "hold", until=NOON + HOUR):
    return ledger.hold(charge_request(account, amount, key), expires_at=until, now=NOON)


def is_low(account) -> bool:
    return Wallet.objects.get(account_id=account).is_low


class Falling:
    """Moves that take 8 of the 12 credits of an account, by name."""

    @staticmethod
    def charge(account):
        spend(account, "8", "taken")

    @staticmethod
    def charge_over_several_grants(account):
        give(account, "1", "first", priority=1)
        spend(account, "9", "taken")

    @staticmethod
    def hold(account):
        hold(account, "8")

    @staticmethod
    def hold_over_several_grants(account):
        give(account, "1", "first", priority=1)
        hold(account, "9")

    @staticmethod
    def capture_above_the_hold(account):
        held = hold(account, "1")
        ledger.capture(account_id=account, hold_id=held.hold_id, credits=D("8"), key="c", detail={}, now=NOON)

    @staticmethod
    def claw_back(account):
        terms = {"account_id": account, "purchase_id": PURCHASE, "key": "r", "reason": "r", "now": NOON}
        ledger.claw_back(credits=D("8"), **terms)

    @staticmethod
    def adjust(account):
        terms = {"account_id": account, "key": "a", "reason": "r", "actor": "s", "now": NOON}
        ledger.adjust(credits=D("-8"), **terms)

    @staticmethod
    def batch(account):
        ledger.charge_many([charge_request(account, "4", f"use {n}") for n in range(2)], NOON)

    @staticmethod
    def large_batch(account):
        ledger.charge_many([charge_request(account, "0.125", f"use {n}") for n in range(64)], NOON)


FALLING = [name for name in vars(Falling) if not name.startswith("_")]


@pytest.fixture
def account(db: None) -> uuid.UUID:
    """An account with 12 credits."""
    account = new_account()
    give(account, "12", "pack", purchase_id=PURCHASE)
    return account


@pytest.mark.parametrize("way", FALLING)
@pytest.mark.parametrize(
    ("below", "noticed"),
    [("4", False), ("4.000001", True), ("12", True), (None, False)],
)
def test_each_move_that_falls_below_the_threshold_is_noticed(account, way, below, noticed):
    """Exactly at the threshold is not below it."""
    assert warn(account, below) is False
    getattr(Falling, way)(account)
    # moves of several steps fall below the threshold of 12 with their first step
    steps = {"large_batch": "11.875", "batch": "8", "capture_above_the_hold": "11"} if below == "12" else {}
    assert notices(account) == ([("low", steps.get(way, "4"), below)] if noticed else [])
    assert is_low(account) is noticed
    assert ledger.balance(account, NOON).low is noticed
    if noticed:
        spend(account, "1", "later")
        assert Notice.objects.count() == 1, "once, until it has been above"


@pytest.mark.parametrize("way", FALLING)
def test_an_empty_balance_is_noticed_as_depleted(account, way):
    give(account, "0.5", "small", priority=1, kind="bonus")
    spend(account, "4.5", "before", covers=("gpt-4o",))
    warn(account, "0.1")
    getattr(Falling, way)(account)
    assert notices(account) == [("depleted", "0", "0.1")]


@pytest.mark.parametrize("way", FALLING)
def test_the_smallest_amount_is_not_depleted(account, way):
    give(account, "0.000001", "small")
    spend(account, "4", "before")
    warn(account, "0.1")
    getattr(Falling, way)(account)
    assert notices(account) == [("low", "0.000001", "0.1")]


class Rising:
    """Moves that raise an account's balance of 4 to 12, by name; each needs what `prepared` made."""

    @staticmethod
    def grant(account, made):
        give(account, "8", "more")

    @staticmethod
    def adjust(account, made):
        ledger.adjust(account_id=account, credits=D("8"), key="a", reason="r", actor="s", now=NOON)

    @staticmethod
    def reverse(account, made):
        ledger.reverse(account_id=account, charge_id=made.charge_id, key="r", reason="r", now=NOON)

    @staticmethod
    def release(account, made):
        ledger.release(account_id=account, hold_id=made.hold_id, now=NOON)

    @staticmethod
    def capture(account, made):
        terms = {"account_id": account, "hold_id": made.hold_id, "key": "c", "detail": {}, "now": NOON}
        ledger.capture(credits=D("0"), **terms)

    @staticmethod
    def capture_a_little(account, made):
        terms = {"account_id": account, "hold_id": made.hold_id, "key": "c", "detail": {}, "now": NOON}
        ledger.capture(credits=D("0.5"), **terms)

    @staticmethod
    def end_of_the_hold(account, made):
        ledger.settle([account], NOON + HOUR)

    @staticmethod
    def restore(account, made):
        terms = {"account_id": account, "claw_back_key": "r", "key": "won", "reason": "r", "now": NOON}
        ledger.restore(**terms)

    @staticmethod
    def allowance(account, made):
        ledger.set_allowances(account_id=account, allowances=[allowance("plan", "8", "month")], now=NOON)


RISING = [name for name in vars(Rising) if not name.startswith("_")]


def prepared(account, way):
    if way in {"release", "capture", "capture_a_little", "end_of_the_hold"}:
        return hold(account, "8")
    if way == "restore":
        return Falling.claw_back(account)
    return spend(account, "8", "taken")


@pytest.mark.parametrize("way", RISING)
@pytest.mark.parametrize(
    ("below", "rearmed"),
    [("11.5", True), ("12.000001", False)],
)
def test_each_move_that_rises_to_the_threshold_arms_it_again(account, way, below, rearmed):
    made = prepared(account, way)
    assert warn(account, below) is True
    assert Notice.objects.count() == 1, "setting a threshold above the balance is noticed at once"
    getattr(Rising, way)(account, made)
    assert is_low(account) is not rearmed
    spend(account, "3", "falls again", NOON + HOUR, fingerprint=b"1")
    assert Notice.objects.count() == (2 if rearmed else 1)


def test_a_capture_that_stays_below_the_threshold_does_not_arm_it(account):
    held = hold(account, "8")
    warn(account, "12")
    ledger.capture(account_id=account, hold_id=held.hold_id, credits=D("5"), key="c", detail={}, now=NOON)
    assert is_low(account)
    spend(account, "1", "later")
    assert Notice.objects.count() == 1


class TestTheThresholdItself:
    def test_above_the_balance_is_noticed_once_and_once_more_after_it_was_disabled(self, account):
        assert [warn(account, below) for below in ("12", "12.5", "13", None, "13")] == [
            False, True, True, False, True,
        ]  # fmt: skip
        assert notices(account) == [("low", "12", "12.5"), ("low", "12", "13")]

    def test_lowered_below_the_balance_it_is_armed_again(self, account):
        assert warn(account, "20")
        assert not warn(account, "10")
        spend(account, "5", "falls")
        assert notices(account) == [("low", "12", "20"), ("low", "7", "10")]

    def test_a_change_is_recorded_once_and_the_same_threshold_again_is_not(self, account):
        counts = []
        for below in ("5", "5", "6", "6", None, None, "5"):
            warn(account, below)
            counts.append(Entry.objects.filter(kind="terms").count())
        assert counts == [1, 1, 2, 2, 3, 3, 4]
        assert Wallet.objects.get().warn_below == D("5")

    def test_a_notice_has_the_time_of_its_move(self, account):
        warn(account, "10")
        spend(account, "5", "falls", NOON + HOUR)
        assert Notice.objects.get().created_at == NOON + HOUR

    def test_the_threshold_of_one_account_is_not_anothers(self, account):
        other = new_account()
        give(other, "12")
        warn(account, "10")
        spend(other, "12")
        assert Notice.objects.count() == 0


class TestExpiryAndRenewal:
    def test_credits_that_expire_are_noticed_with_the_time_of_settling(self, account):
        give(account, "20", "short", expires_at=NOON + HOUR)
        warn(account, "15")
        ledger.settle([account], NOON + 2 * HOUR)
        assert notices(account) == [("low", "12", "15")]
        assert Notice.objects.get().created_at == NOON + 2 * HOUR
        ledger.settle([account], NOON + 3 * HOUR)
        assert Notice.objects.count() == 1

    def test_a_day_whose_credits_are_renewed_is_not_noticed(self, db):
        account = new_account()
        ledger.set_allowances(account_id=account, allowances=[allowance("daily", "10")], now=NOON)
        warn(account, "5")
        ledger.settle([account], NOON + DAY)
        assert notices(account) == []
        spend(account, "6", "falls", NOON + DAY)
        assert notices(account) == [("low", "4", "5")]
        ledger.settle([account], NOON + 2 * DAY)
        assert not is_low(account)
        spend(account, "6", "falls again", NOON + 2 * DAY)
        assert len(notices(account)) == 2

    def test_debt_that_keeps_the_balance_below_it_is_not_noticed_again(self, db):
        account = new_account()
        give(account, "10", "pack", purchase_id=PURCHASE)
        warn(account, "5")
        spend(account, "10", "all")
        ledger.claw_back(account_id=account, purchase_id=PURCHASE, key="r", reason="r", now=NOON)
        give(account, "7", "repays")
        assert notices(account) == [("depleted", "0", "5")]
        give(account, "8", "rises to the threshold")
        assert not is_low(account)


def test_a_batch_of_several_accounts_notices_each_of_them(db):
    accounts = [new_account() for _ in range(3)]
    for account, below in zip(accounts, ("5", "5", None), strict=True):
        give(account, "10")
        warn(account, below)
    uses = [charge_request(accounts[n % 3], "0.25", f"use {n}") for n in range(75)]
    ledger.charge_many(uses, NOON)
    assert [notices(account) for account in accounts] == [[("low", "4.75", "5")]] * 2 + [[]]
    assert [is_low(account) for account in accounts] == [True, True, False]
