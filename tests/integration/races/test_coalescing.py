"""Charges that share a call: each gets its own outcome, and one that fails does not affect others."""

import threading
import time

import pytest
from django.db import connection

from billing import ledger
from billing.ledger import charges, coalescing
from billing.ledger.models import Charge
from tests.billing.ledger.conftest import NOON, D, charge_request, give, new_account
from tests.billing.ledger.state import broken
from tests.integration.races.stage import at_once, of_kind

pytestmark = pytest.mark.usefixtures("committed")


def queue(together=charges.charge_many, alone=charges.charge_alone):
    return coalescing.Queue(together=together, alone=alone)


def submit(shared, one):
    """Submit as `ledger.charge` does; a refusal is returned as an outcome."""
    return shared.submit(one, NOON)


def slowly(sizes):
    """Delay the shared call so that others wait, and record its size."""

    def together(requests, now):
        sizes.append(len(requests))
        time.sleep(0.01)
        return charges.charge_many(requests, now)

    return together


def test_each_of_many_gets_the_outcome_of_its_own_order():
    rich, poor = new_account(), new_account()
    give(rich, "1000")
    give(poor, "3")
    sizes: list[int] = []
    shared = queue(slowly(sizes))
    requests = [charge_request(rich if n % 2 else poor, str(n + 1), f"use {n}") for n in range(40)]
    outcomes = at_once([lambda one=one: submit(shared, one) for one in requests])
    for one, outcome in zip(requests, outcomes, strict=True):
        if isinstance(outcome, ledger.Charged):
            assert (outcome.charge_id, outcome.credits) == (one.id, one.credits)
        else:
            assert isinstance(outcome, ledger.InsufficientCredits)
            assert (one.account_id, outcome.needed) == (poor, one.credits)
    assert len(of_kind(outcomes, ledger.Charged)) >= 20
    assert max(sizes) > 1, "some shared a call"
    assert broken([rich, poor]) == []


@pytest.mark.fault("C6")
def test_a_poisonous_request_fails_alone():
    account = new_account()
    give(account, "1000")
    sizes: list[int] = []
    shared = queue(slowly(sizes))
    poison = charge_request(account, "1", "poison", service="x" * 101)  # longer than the column takes
    requests = [charge_request(account, "1", f"use {n}") for n in range(20)]
    outcomes = at_once(
        [lambda one=one: submit(shared, one) for one in [*requests[:10], poison, *requests[10:]]]
    )
    fate = outcomes.pop(10)
    assert type(fate).__name__ == "DataError"
    assert [type(one) for one in outcomes] == [ledger.Charged] * 20
    assert [one.charge_id for one in outcomes] == [one.id for one in requests]
    assert Charge.objects.filter(account_id=account).count() == 20
    assert max(sizes) > 1
    assert broken([account]) == []


def test_an_error_of_the_shared_call_after_its_commit_charges_nobody_twice():
    """The connection is lost between commit and response: the retry finds its key used."""
    account = new_account()
    give(account, "1000")

    def lost(requests, now):
        charges.charge_many(requests, now)
        raise ConnectionError("lost on the way back")

    shared = queue(lost)
    outcomes = at_once(
        [lambda n=n: submit(shared, charge_request(account, "1", f"use {n}")) for n in range(24)]
    )
    assert {type(one) for one in outcomes} == {ledger.Charged}
    assert ledger.balance(account, NOON).total == D("976")


def test_a_leader_that_is_interrupted_leaves_nobody_waiting():
    account = new_account()
    give(account, "1000")
    first = threading.Event()

    def interrupted(requests, now):
        raise KeyboardInterrupt

    def alone(one, now):
        if not first.is_set():
            first.set()
            time.sleep(0.1)  # the others queue behind this one
        return charges.charge_alone(one, now)

    shared = queue(interrupted, alone)

    def charge(n):
        try:
            return submit(shared, charge_request(account, "1", f"use {n}"))
        except BaseException as error:
            return error

    outcomes = at_once([lambda n=n: charge(n) for n in range(12)])
    assert len(of_kind(outcomes, ledger.Charged | KeyboardInterrupt)) == 12
    assert of_kind(outcomes, KeyboardInterrupt), "the fault was met"
    told = len(of_kind(outcomes, ledger.Charged))
    assert Charge.objects.filter(account_id=account).count() == told >= 1
    again = submit(queue(), charge_request(account, "1", "afterwards"))
    assert again.balance_after == 1000 - told - 1


def test_inside_a_transaction_of_the_callers_a_charge_shares_nothing():
    from django.db import transaction

    account = new_account()
    give(account, "10")
    with transaction.atomic():
        ledger.charge(charge_request(account, "1", "undone"), NOON)
        transaction.set_rollback(True)
    assert ledger.balance(account, NOON).total == D("10")
    assert connection.in_atomic_block is False
