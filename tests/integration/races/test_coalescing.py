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
from tests.integration.races.concurrency import at_once, of_kind

pytestmark = pytest.mark.usefixtures("committed")


def queue(together=charges.charge_many, alone=charges.charge_alone):
    return coalescing.Queue(together=together, alone=alone)


def submit(shared, request):
    """Submit as `ledger.charge` does; an error of the ledger is returned as an outcome."""
    return shared.submit(request, NOON)


def delayed(sizes):
    """Delay the shared call so that others wait, and record its size."""

    def together(requests, now):
        sizes.append(len(requests))
        time.sleep(0.01)
        return charges.charge_many(requests, now)

    return together


def test_each_caller_gets_the_outcome_of_its_own_request():
    funded, nearly_empty = new_account(), new_account()
    give(funded, "1000")
    give(nearly_empty, "3")
    sizes: list[int] = []
    shared = queue(delayed(sizes))
    requests = [charge_request(funded if n % 2 else nearly_empty, str(n + 1), f"use {n}") for n in range(40)]
    outcomes = at_once([lambda request=request: submit(shared, request) for request in requests])
    for request, outcome in zip(requests, outcomes, strict=True):
        if isinstance(outcome, ledger.Charged):
            assert (outcome.charge_id, outcome.credits) == (request.id, request.credits)
        else:
            assert isinstance(outcome, ledger.InsufficientCredits)
            assert (request.account_id, outcome.needed) == (nearly_empty, request.credits)
    assert len(of_kind(outcomes, ledger.Charged)) >= 20
    assert max(sizes) > 1, "some requests shared a call"
    assert broken([funded, nearly_empty]) == []


@pytest.mark.fault("C6")
def test_an_invalid_request_fails_alone():
    account = new_account()
    give(account, "1000")
    sizes: list[int] = []
    shared = queue(delayed(sizes))
    invalid = charge_request(account, "1", "invalid", service="x" * 101)  # longer than the column allows
    requests = [charge_request(account, "1", f"use {n}") for n in range(20)]
    outcomes = at_once(
        [
            lambda request=request: submit(shared, request)
            for request in [*requests[:10], invalid, *requests[10:]]
        ]
    )
    error = outcomes.pop(10)
    assert type(error).__name__ == "DataError"
    assert [type(outcome) for outcome in outcomes] == [ledger.Charged] * 20
    assert [outcome.charge_id for outcome in outcomes] == [request.id for request in requests]
    assert Charge.objects.filter(account_id=account).count() == 20
    assert max(sizes) > 1
    assert broken([account]) == []


def test_an_error_of_the_shared_call_after_its_commit_charges_no_request_twice():
    """The connection is lost between commit and response: the retry finds its key used."""
    account = new_account()
    give(account, "1000")

    def lost(requests, now):
        charges.charge_many(requests, now)
        raise ConnectionError("lost after the commit")

    shared = queue(lost)
    outcomes = at_once(
        [lambda n=n: submit(shared, charge_request(account, "1", f"use {n}")) for n in range(24)]
    )
    assert {type(outcome) for outcome in outcomes} == {ledger.Charged}
    assert ledger.balance(account, NOON).total == D("976")


def test_no_request_waits_forever_when_the_leading_thread_is_interrupted():
    account = new_account()
    give(account, "1000")
    first = threading.Event()

    def interrupted(requests, now):
        raise KeyboardInterrupt

    def alone(request, now):
        if not first.is_set():
            first.set()
            time.sleep(0.1)  # the others queue behind this one
        return charges.charge_alone(request, now)

    shared = queue(interrupted, alone)

    def charge(n):
        try:
            return submit(shared, charge_request(account, "1", f"use {n}"))
        except BaseException as error:
            return error

    outcomes = at_once([lambda n=n: charge(n) for n in range(12)])
    assert len(of_kind(outcomes, ledger.Charged | KeyboardInterrupt)) == 12
    assert of_kind(outcomes, KeyboardInterrupt), "the interruption occurred"
    charged = len(of_kind(outcomes, ledger.Charged))
    assert Charge.objects.filter(account_id=account).count() == charged >= 1
    next_charge = submit(queue(), charge_request(account, "1", "afterwards"))
    assert next_charge.balance_after == 1000 - charged - 1


def test_a_charge_in_a_transaction_of_the_caller_is_not_shared():
    from django.db import transaction

    account = new_account()
    give(account, "10")
    with transaction.atomic():
        ledger.charge(charge_request(account, "1", "rolled back"), NOON)
        transaction.set_rollback(True)
    assert ledger.balance(account, NOON).total == D("10")
    assert connection.in_atomic_block is False
