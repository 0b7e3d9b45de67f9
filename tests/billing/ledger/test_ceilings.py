"""Largest amounts: of one move, and of a balance."""

import uuid

import pytest
from django.db import DataError, connection, transaction

from billing import ledger
from billing.ledger.models import Grant, Wallet
from core import amounts
from tests.billing.ledger.conftest import (
    DAY,
    NOON,
    D,
    allowance,
    charge_request,
    give,
    hold,
    new_account,
    owe,
    spend,
)
from tests.billing.ledger.state import broken

pytestmark = [pytest.mark.django_db, pytest.mark.fault("L19")]
LARGEST = str(amounts.LARGEST)


def adjust(account, credits, key="adjust", now=NOON):
    terms = {"key": key, "reason": "why", "actor": "staff", "now": now}
    return ledger.adjust(account_id=account, credits=D(credits), **terms)


def filled(to: str, *, name: str = "full", services=None):
    """An account whose balance is `to`, made by one grant larger than the ledger grants today."""
    account = new_account()
    with connection.cursor() as cursor:
        cursor.execute(
            """select ledger_grant(p_account => %s, p_id => %s, p_key => %s, p_fingerprint => %s,
                 p_credits => %s, p_kind => %s, p_label => %s, p_priority => null, p_expires => null,
                 p_services => %s, p_purchase => %s, p_reason => %s, p_actor => %s, p_now => %s)""",
            [account, uuid.uuid4(), name, b"", to, "top_up", name, services, uuid.uuid4(), "", "", NOON],
        )
    Wallet.objects.filter(account_id=account).update(moved_at=NOON)
    return account


def test_the_database_and_the_settings_name_the_same_largest_balance(db):
    with connection.cursor() as cursor:
        cursor.execute("select ledger_largest_balance()")
        assert cursor.fetchone() == (amounts.LARGEST_BALANCE,)


@pytest.mark.parametrize("amount", [f"{LARGEST}.000001", "99999999999999.999999"])
def test_no_move_is_larger_than_the_largest_amount(account, amount):
    with pytest.raises(ledger.AmountInvalid) as refusal:
        give(account, amount)
    assert LARGEST in refusal.value.detail()
    for move in (lambda: spend(account, amount), lambda: adjust(account, amount)):
        with pytest.raises(ledger.AmountInvalid):
            move()
    assert not Grant.objects.filter(account_id=account).exists()


def test_at_the_largest_balance_gifts_are_refused_by_name_and_purchases_and_allowances_arrive():
    account = filled(str(amounts.LARGEST_BALANCE))
    for gift in (lambda: give(account, "0.000001", "gift"), lambda: adjust(account, "0.000001")):
        with pytest.raises(ledger.BalanceTooLarge) as refusal:
            gift()
        assert (refusal.value.code, refusal.value.extra()) == (
            "balance_too_large",
            {"largest_balance": "1000000000000"},
        )
    assert give(account, LARGEST, "paid", purchase_id=uuid.uuid4()).balance_after == D("1001000000000")
    terms = [allowance("daily", LARGEST)]
    balance = ledger.set_allowances(account_id=account, allowances=terms, now=NOON)
    assert balance == D("1002000000000")
    assert ledger.balance(account, NOON + DAY).total == D("1002000000000")
    assert broken([account]) == []


def test_the_largest_balance_is_exact_and_includes_held_credits(account):
    account = filled(str(amounts.LARGEST_BALANCE - 10))
    hold(account, "5")
    spend(account, "2")
    for move in (lambda: give(account, "12.000001", "gift"), lambda: adjust(account, "12.000001")):
        with pytest.raises(ledger.BalanceTooLarge):
            move()
    assert give(account, "5", "gift").balance_after == amounts.LARGEST_BALANCE - 12
    assert adjust(account, "7").balance_after == amounts.LARGEST_BALANCE - 5


@pytest.mark.parametrize("way", ["grant", "adjustment"])
def test_what_repays_debt_is_subtracted_before_the_largest_balance_is_compared(account, way):
    account = filled(str(amounts.LARGEST_BALANCE - 10))
    owe(account, "4")

    def add(amount):
        return give(account, amount, "gift") if way == "grant" else adjust(account, amount)

    with pytest.raises(ledger.BalanceTooLarge):
        add("14.000001")
    assert add("14").balance_after == amounts.LARGEST_BALANCE
    assert ledger.balance(account, NOON).debt == 0


def test_a_wallet_at_the_largest_balance_charges_holds_is_clawed_back_and_adjusted():
    account, purchase = filled(str(amounts.LARGEST_BALANCE)), uuid.uuid4()
    give(account, LARGEST, "paid", purchase_id=purchase, priority=1)
    charged = spend(account, LARGEST)
    held = ledger.hold(charge_request(account, "5", "h"), expires_at=NOON + DAY, now=NOON)
    with pytest.raises(ledger.BalanceTooLarge):
        give(account, "1", "gift")
    ledger.release(account_id=account, hold_id=held.hold_id, now=NOON)
    ledger.reverse(account_id=account, charge_id=charged.charge_id, key="r", reason="r", now=NOON)
    taken = ledger.claw_back(account_id=account, purchase_id=purchase, key="c", reason="r", now=NOON)
    assert taken.credits == amounts.LARGEST
    assert adjust(account, f"-{amounts.LARGEST_BALANCE}").balance_after == 0
    assert give(account, "1", "gift").balance_after == 1


def test_credits_that_repay_debt_do_not_count_towards_the_largest_balance(account):
    purchase = uuid.uuid4()
    give(account, "100", purchase_id=purchase)
    spend(account, "100")
    ledger.claw_back(account_id=account, purchase_id=purchase, key="c", reason="r", now=NOON)
    assert give(account, "100", "repays").repaid == D("100")


def test_staff_take_credits_from_a_wallet_that_is_too_full_to_be_settled():
    """A wallet of an earlier version, just under what the columns hold, with an allowance due."""
    account = filled("99999999999999")
    ledger.set_allowances(
        account_id=account, allowances=[allowance("daily", "0.5")], now=NOON
    )  # the next day's, of a larger plan, does not fit
    with connection.cursor() as cursor:
        cursor.execute("update billing_allowance set credits = 10 where account_id = %s", [account])
    Wallet.objects.filter(account_id=account).update(moved_at=NOON)
    tomorrow = NOON + DAY
    with pytest.raises(DataError), transaction.atomic():
        ledger.settle([account], tomorrow)
    other = new_account()
    give(other, "5", "other", now=tomorrow)
    uses = [charge_request(one, "1", f"{n}") for n, one in enumerate([other, account, other])]
    outcomes = [type(outcome) for outcome in ledger.charge_many(uses, tomorrow)]
    assert outcomes == [ledger.Charged, ledger.WalletUnusable, ledger.Charged]
    taken = adjust(account, "-99999999000000", now=tomorrow)
    assert taken.credits == D("-99999999000000")
    assert ledger.balance(account, tomorrow).total == D("1000009.5")
    assert broken([account]) == []
