"""Races with time: expiry and renewal during charges, two beat jobs at once, clocks that differ."""

import datetime as dt

import pytest

from billing import ledger
from billing.ledger import charges
from billing.ledger.models import Entry, Grant, Wallet
from tests.billing.ledger.conftest import DAY, NOON, D, allowance, charge_request, give, new_account
from tests.billing.ledger.state import broken
from tests.integration.races.concurrency import at_once, of_kind

pytestmark = pytest.mark.usefixtures("committed")
MIDNIGHT = dt.datetime(2026, 3, 11, tzinfo=dt.UTC)
INSTANT = dt.timedelta(microseconds=1)


def charge(account, key, now, amount="1"):
    return ledger.charge(charge_request(account, amount, key), now)


@pytest.mark.fault("L6")
@pytest.mark.parametrize("turn", range(3))
def test_each_credit_is_either_spent_or_expired_and_bought_ones_never_expire(turn):
    account = new_account()
    give(account, "30", "soon", kind="bonus", expires_at=NOON + DAY)
    give(account, "30", "bought")
    last, end = NOON + DAY - INSTANT, NOON + DAY
    calls = [lambda n=n: charge(account, f"early {n}", last) for n in range(10)]
    calls += [lambda n=n: charge(account, f"late {n}", end) for n in range(10)]
    calls += [lambda: ledger.settle([account], end), lambda: ledger.settle_due(end)]
    outcomes = at_once(calls[::-1] if turn % 2 else calls)
    assert len(of_kind(outcomes, ledger.Charged)) == 20
    ledger.settle([account], end)
    soon, bought = (parts_of(account, key) for key in ("soon", "bought"))
    assert soon["remaining"] == bought["expire"] == 0
    assert soon["charge"] + soon["expire"] == bought["charge"] + bought["remaining"] == D("30")
    assert soon["charge"] + bought["charge"] == D("20")
    assert bought["charge"] >= D("10"), "late charges can only use the bought credits"
    assert broken([account]) == []


def parts_of(account, key):
    """Return what was charged, expired and remains of a grant."""
    grant = Grant.objects.get(account_id=account, idempotency_key=key)
    parts = {"charge": D("0"), "expire": D("0"), "remaining": grant.remaining}
    for entry in Entry.objects.filter(account_id=account, grant_id=grant.id).exclude(kind="grant"):
        parts[entry.kind] -= entry.credits
    return parts


@pytest.mark.fault("C1")
def test_two_beats_at_once_settle_each_account_once():
    accounts = [new_account() for _ in range(60)]
    for account in accounts:
        terms = [allowance("daily", "100"), allowance("monthly", "7", "month")]
        ledger.set_allowances(account_id=account, allowances=terms, now=NOON)
    beats = at_once([lambda: ledger.settle_due(MIDNIGHT, chunk=7)] * 4)
    assert of_kind(beats, BaseException) == []
    beats.append(ledger.settle_due(MIDNIGHT))  # what a beat job skipped because another had locked it
    assert sum(beats) == 60
    assert Grant.objects.filter(account_id__in=accounts, allowance="daily").count() == 120
    assert set(Wallet.objects.filter(account_id__in=accounts).values_list("balance", flat=True)) == {D("107")}
    assert broken(accounts) == []


@pytest.mark.fault("C1", "T7")
def test_concurrent_charges_at_midnight_grant_the_renewal_once():
    account = new_account()
    ledger.set_allowances(account_id=account, allowances=[allowance("daily", "20")], now=NOON)
    outcomes = at_once(
        [lambda n=n: charge(account, f"use {n}", MIDNIGHT) for n in range(30)]
        + [lambda: ledger.balance(account, MIDNIGHT)] * 2
        + [lambda: ledger.settle_due(MIDNIGHT)] * 2
    )
    assert len(of_kind(outcomes, ledger.Charged)) == 20
    assert len(of_kind(outcomes, ledger.InsufficientCredits)) == 10
    assert Grant.objects.filter(account_id=account).count() == 2
    assert broken([account]) == []


@pytest.mark.fault("T6")
def test_machines_whose_clocks_disagree_about_midnight_give_nothing_twice():
    account = new_account()
    ledger.set_allowances(account_id=account, allowances=[allowance("daily", "20")], now=NOON)
    clocks = [MIDNIGHT + seconds * dt.timedelta(seconds=1) for seconds in (-3600, -1, 0, 1, 60)]
    machines = [(clock, n) for clock in clocks for n in range(6)]  # of different processes
    outcomes = at_once(
        [
            lambda c=c, n=n: charges.charge_alone(charge_request(account, "1", f"{n} {c}"), c)
            for c, n in machines
        ]
    )
    spent = len(of_kind(outcomes, ledger.Charged))
    assert 20 <= spent <= 30, "of two days' 40, each clock spends what its day has"
    grants = Grant.objects.filter(account_id=account)
    assert grants.count() == 2
    assert sum(grant.credits for grant in grants) == D("40")
    assert broken([account]) == []


@pytest.mark.fault("L21")
@pytest.mark.parametrize("skew", [dt.timedelta(milliseconds=2), dt.timedelta(seconds=2)])
def test_the_entries_of_two_processes_whose_clocks_differ_stand_in_the_order_of_their_times(skew):
    account = new_account()
    give(account, "100")
    calls = [lambda n=n: charge(account, f"fast {n}", MIDNIGHT + n * INSTANT) for n in range(10)]
    calls += [lambda n=n: charge(account, f"slow {n}", MIDNIGHT + n * INSTANT - skew) for n in range(10)]
    assert len(of_kind(at_once(calls), ledger.Charged)) == 20
    assert broken([account]) == []
