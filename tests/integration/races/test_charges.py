"""Concurrent charges: one wallet, many connections."""

import itertools
import uuid

import pytest

from billing import ledger
from billing.ledger import charges
from billing.ledger.models import Charge, Entry
from tests.billing.ledger.conftest import NOON, D, charge_request, give, new_account
from tests.billing.ledger.state import broken
from tests.integration.races.concurrency import at_once, charged_together, of_kind, persistently

pytestmark = pytest.mark.usefixtures("committed")


def alone(account, amount, key, **terms):
    """Charge in a separate database call, as another process would."""
    return persistently(lambda: charges.charge_alone(charge_request(account, amount, key, **terms), NOON))


def shared(account, amount, key, **terms):
    """Charge in a call that may be shared with others of this process."""
    return persistently(lambda: ledger.charge(charge_request(account, amount, key, **terms), NOON))


def in_batch(account, amount, key, **terms):
    (outcome,) = charged_together([charge_request(account, amount, key, **terms)], NOON)
    if isinstance(outcome, ledger.LedgerError):
        raise outcome
    return outcome


def flat(answers):
    return list(itertools.chain.from_iterable(answers))


WAYS = pytest.mark.parametrize("way", [alone, shared, in_batch])


@WAYS
@pytest.mark.fault("L1")
def test_a_hundred_charges_at_once_against_fifty_credits_are_exactly_fifty(way):
    account = new_account()
    give(account, "20", "a")
    give(account, "30", "b")

    def five(first):
        return [attempt(way, account, "1", f"use {first + n}") for n in range(5)]

    outcomes = flat(at_once([lambda n=n: five(5 * n) for n in range(20)]))
    assert len(of_kind(outcomes, ledger.Charged)) == 50
    assert len(of_kind(outcomes, ledger.InsufficientCredits)) == 50
    assert ledger.balance(account, NOON).total == 0
    assert broken([account]) == []


def attempt(way, account, amount, key, **terms):
    try:
        return way(account, amount, key, **terms)
    except ledger.LedgerError as refusal:
        return refusal


@pytest.mark.fault("L1")
def test_all_ways_to_charge_at_once_share_the_same_fifty():
    account = new_account()
    give(account, "50")
    ways = itertools.cycle([alone, shared, in_batch])
    calls = [
        lambda n=n, way=way: [attempt(way, account, "1", f"use {n}.{m}") for m in range(5)]
        for n, way in zip(range(24), ways, strict=False)
    ]
    outcomes = flat(at_once(calls))
    assert len(of_kind(outcomes, ledger.Charged)) == 50
    assert len(of_kind(outcomes, ledger.InsufficientCredits)) == 70
    assert broken([account]) == []


@WAYS
@pytest.mark.fault("L8")
def test_one_key_64_times_at_once_is_charged_once(way):
    account = new_account()
    give(account, "100")
    outcomes = at_once([lambda: way(account, "1", "the key", fingerprint=b"a")] * 64)
    assert {type(outcome) for outcome in outcomes} == {ledger.Charged}
    assert len({outcome.charge_id for outcome in outcomes}) == 1
    assert sum(not outcome.replayed for outcome in outcomes) == 1
    assert ledger.balance(account, NOON).total == D("99")
    assert broken([account]) == []


@WAYS
@pytest.mark.fault("L8")
def test_one_key_with_two_bodies_at_once_is_charged_for_one_of_them(way):
    account = new_account()
    give(account, "100")
    bodies = [("1", b"one"), ("2", b"two")] * 8
    outcomes = at_once([lambda b=b: way(account, b[0], "the key", fingerprint=b[1]) for b in bodies])
    charged = of_kind(outcomes, ledger.Charged)
    assert len(charged) == len(of_kind(outcomes, ledger.KeyReused)) == 8
    assert len({(outcome.charge_id, outcome.credits) for outcome in charged}) == 1
    assert ledger.balance(account, NOON).total == D("100") - charged[0].credits


@WAYS
@pytest.mark.fault("L8")
def test_a_duplicate_of_a_refused_charge_never_reports_success(way):
    account = new_account()
    give(account, "1")
    outcomes = at_once([lambda: way(account, "2", "too much")] * 16)
    assert {type(outcome) for outcome in outcomes} == {ledger.InsufficientCredits}
    assert Charge.objects.filter(account_id=account).count() == 0
    assert Entry.objects.filter(account_id=account).count() == 1


@WAYS
@pytest.mark.fault("L13")
def test_the_first_charges_of_a_new_limit_come_at_once_and_none_passes_it(way):
    account, project, member = new_account(), uuid.uuid4(), uuid.uuid4()
    give(account, "100")
    for kind, subject, maximum in (("project", project, "7"), ("member", member, "5")):
        terms = {"subject": str(subject), "period": "day", "maximum": D(maximum), "now": NOON}
        ledger.set_limit(account_id=account, kind=kind, **terms)
    outcomes = at_once(
        [lambda n=n: way(account, "1", f"p{n}", project_id=project) for n in range(12)]
        + [lambda n=n: way(account, "1", f"m{n}", member_id=member) for n in range(12)]
    )
    assert len(of_kind(outcomes[:12], ledger.Charged)) == 7
    assert len(of_kind(outcomes[12:], ledger.Charged)) == 5
    assert len(of_kind(outcomes, ledger.LimitReached)) == 12
    assert ledger.balance(account, NOON).total == D("88")


@pytest.mark.fault("L13")
def test_a_wallet_opened_many_times_at_once_is_one_wallet():
    account = new_account()
    assert at_once([lambda: ledger.open_wallet(account, NOON)] * 8) == [False] * 8
    give(account, "5")
    outcomes = at_once([lambda n=n: attempt(alone, account, "1", f"use {n}") for n in range(16)])
    assert len(of_kind(outcomes, ledger.Charged)) == 5


@WAYS
@pytest.mark.fault("P16")
def test_charges_that_cross_the_threshold_at_once_are_told_of_once(way):
    from billing.ledger.models import Notice

    account = new_account()
    give(account, "100")
    ledger.set_warning(account_id=account, below=D("75"), now=NOON)
    outcomes = at_once([lambda n=n: way(account, "1", f"use {n}") for n in range(50)])
    assert len(of_kind(outcomes, ledger.Charged)) == 50
    notice = Notice.objects.get(account_id=account)
    assert (notice.kind, notice.detail["balance"]) == ("low", "74.000000")
