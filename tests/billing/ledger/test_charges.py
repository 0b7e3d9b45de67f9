"""Charging a use."""

import datetime as dt

import pytest

from billing import ledger
from billing.ledger.models import Charge, Entry, Grant, Wallet
from tests.billing.ledger.conftest import DAY, NOON, D, give, new_account, spend

pytestmark = pytest.mark.django_db


def left(account) -> list[tuple[str, str]]:
    return [(g.label, f"{g.remaining:f}") for g in ledger.balance(account, NOON).grants]


@pytest.mark.requirement("CORE-04")
def test_a_charge_returns_the_grants_drawn_and_the_balance_before_and_after(account):
    give(account, "100")
    charged = spend(account, "5.5", detail={"lines": [1]})
    assert (charged.credits, charged.balance_before, charged.balance_after) == (D("5.5"), D("100"), D("94.5"))
    assert [(d.kind, d.credits) for d in charged.drawn] == [("top_up", D("5.5"))]
    assert charged.detail == {"lines": [1]}
    assert Charge.objects.get().balance_after == D("94.5")


def test_the_lower_priority_then_the_sooner_expiry_then_the_older_is_spent_first(account):
    give(account, "10", "older", label="older", priority=40, now=NOON - DAY)
    give(account, "10", "forever", label="forever")
    give(account, "10", "late", label="late", expires_at=NOON + 9 * DAY)
    give(account, "10", "soon", label="soon", expires_at=NOON + DAY)
    give(account, "10", "plan", label="plan", kind="plan")
    give(account, "10", "daily", label="daily", kind="daily", expires_at=NOON + DAY)
    assert [name for name, _ in left(account)] == ["daily", "plan", "soon", "late", "older", "forever"]
    charged = spend(account, "25")
    assert [d.credits for d in charged.drawn] == [D("10"), D("10"), D("5")]
    assert left(account)[0] == ("soon", "5.000000")


@pytest.mark.requirement("CORE-01")
def test_a_charge_beyond_the_balance_is_refused_with_its_figures_and_changes_nothing(account):
    give(account, "10")
    with pytest.raises(ledger.InsufficientCredits) as refusal:
        spend(account, "10.000001")
    assert (refusal.value.needed, refusal.value.available) == (D("10.000001"), D("10"))
    assert Charge.objects.count() == 0
    assert Entry.objects.count() == 1
    assert spend(account, "10").balance_after == 0, "the refused key is free to succeed"


@pytest.mark.requirement("CORE-02")
def test_the_same_key_gives_the_first_answer_again(account):
    give(account, "10")
    first = spend(account, "4")
    again = spend(account, "4")
    assert again.replayed
    assert not first.replayed
    assert (again.charge_id, again.balance_after) == (first.charge_id, first.balance_after)
    assert Charge.objects.count() == 1
    with pytest.raises(ledger.KeyReused):
        spend(account, "4", fingerprint=b"another body")


@pytest.mark.requirement("REFLY-06")
def test_credits_limited_to_a_tag_pay_for_that_tag_only(account):
    give(account, "50", "bonus", kind="bonus", services=["tag:advanced"])
    with pytest.raises(ledger.InsufficientCredits) as refusal:
        spend(account, "1")
    assert refusal.value.available == 0
    assert spend(account, "1", "advanced", covers=("veo", "tag:advanced")).balance_after == D("49")
    balance = ledger.balance(account, NOON)
    assert (balance.available, balance.total) == (0, D("49"))
    assert balance.spendable_on(["tag:advanced"]) == D("49")


@pytest.mark.fault("L7", "T7")
@pytest.mark.requirement("FLICK-04")
def test_credits_are_good_until_the_instant_of_their_expiry_and_not_in_it(account):
    end = NOON + DAY
    give(account, "10", expires_at=end)
    assert spend(account, "1", "before", now=end - dt.timedelta(microseconds=1)).balance_after == D("9")
    with pytest.raises(ledger.InsufficientCredits) as refusal:
        spend(account, "1", "at", now=end)
    assert refusal.value.available == 0
    assert ledger.balance(account, end).total == 0
    assert [(e.kind, e.credits) for e in Entry.objects.order_by("seq")][-1] == ("expire", D("-9"))


def test_a_use_that_costs_nothing_is_recorded_and_moves_nothing(account):
    charged = spend(account, "0", covered_by="unlimited")
    assert (charged.credits, charged.covered_by, charged.drawn) == (0, "unlimited", ())
    assert Charge.objects.get().covered_by == "unlimited"
    entry = Entry.objects.get()
    assert (entry.kind, entry.credits, entry.grant_id, entry.charge_id) == (
        "charge",
        0,
        None,
        charged.charge_id,
    )


def test_an_account_without_a_wallet_is_named(db):
    import uuid

    with pytest.raises(ledger.UnknownWallet):
        spend(uuid.uuid4(), "1")
    with pytest.raises(ledger.UnknownWallet):
        ledger.balance(uuid.uuid4(), NOON)


@pytest.mark.parametrize("amount", ["-1", "NaN", "Infinity", "0.0000001", "1e15"])
def test_an_amount_the_ledger_cannot_keep_is_refused(account, amount):
    with pytest.raises(ledger.AmountInvalid, match="at most six places"):
        spend(account, amount)
    with pytest.raises(ledger.AmountInvalid):
        give(account, amount)


def test_a_float_is_no_amount(account):
    with pytest.raises(ledger.AmountInvalid):
        ledger.ChargeRequest(account_id=account, credits=0.5, key="k", service="s")


@pytest.mark.fault("L12")
def test_many_small_charges_are_exact_to_the_last_digit(account):
    give(account, "2.2")
    for n in range(100):
        spend(account, "0.0022", f"use-{n}")
    assert ledger.balance(account, NOON).total == D("1.98")
    assert Wallet.objects.get().balance == D("1.98")


def test_a_spent_grant_is_closed(account):
    give(account, "5")
    spend(account, "5")
    assert not Grant.objects.get().open
    assert ledger.balance(account, NOON).grants == ()


def test_the_threshold_is_told_once_for_each_crossing(account):
    from billing.ledger.models import Notice

    give(account, "20")
    ledger.set_warning(account_id=account, below=D("10"), now=NOON)
    spend(account, "11", "a")
    spend(account, "1", "b")
    assert Notice.objects.count() == 1
    give(account, "20", "more")
    assert not Wallet.objects.get().is_low
    spend(account, "20", "c")
    assert Notice.objects.count() == 2


def test_charged_accounts_are_those_that_a_use_took_credits_from(account):
    free = new_account()
    give(account, "5")
    spend(account, "1")
    spend(free, "0")
    assert ledger.charged_accounts([account, free, new_account()]) == {account}
