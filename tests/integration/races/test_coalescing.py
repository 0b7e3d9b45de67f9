"""Charges that share a call: each gets its own outcome, and one that fails does not affect others."""

import ctypes
import datetime as dt
import threading
import time

import pytest
from django.db import connection

from billing import ledger
from billing.ledger import charges, shared_calls
from billing.ledger.models import Charge
from tests.billing.ledger.conftest import DAY, NOON, D, charge_request, give, new_account
from tests.billing.ledger.state import broken
from tests.integration.races.concurrency import BackgroundCall, at_once, of_kind, persistently

pytestmark = pytest.mark.usefixtures("committed")
MIDNIGHT = NOON.replace(hour=0) + DAY
MILLISECOND = dt.timedelta(milliseconds=1)
charge_together = shared_calls._charge_together


def submit(calls, request, now=NOON):
    """Submit as `ledger.charge` does; an error of the ledger is returned as an outcome."""
    return persistently(lambda: charges.outcome_of(calls.charge(request, now), request))


@pytest.fixture
def calls():
    return shared_calls.SharedCalls()


@pytest.fixture
def shared(monkeypatch):
    """Replace the call that several requests share."""

    def replace(together):
        monkeypatch.setattr(shared_calls, "_charge_together", together)

    return replace


@pytest.fixture
def sizes(shared):
    """Delay shared calls so that others wait, and record their sizes."""
    sizes = []

    def together(taken, statement):
        sizes.append(len(taken))
        time.sleep(0.01)
        charge_together(taken, statement)

    shared(together)
    return sizes


class Pause:
    """Holds the first call of a queue until `end`, so that further requests queue behind it."""

    def __init__(self, monkeypatch, calls):
        self.began, self.ended = threading.Event(), threading.Event()
        call = calls._everyone._call

        def paused(taken):
            if not self.began.is_set():
                self.began.set()
                calls._everyone._led_since += 60  # the others do not take over meanwhile
                while not self.ended.is_set():
                    time.sleep(0.001)
            call(taken)

        monkeypatch.setattr(calls._everyone, "_call", paused)


@pytest.fixture
def pause(monkeypatch, calls):
    return Pause(monkeypatch, calls)


def started(calls, requests, now=NOON):
    """Submit the requests, a thread each, in this order; return the threads when all have arrived."""
    threads = []
    for number, request in enumerate(requests):
        at = now[number] if isinstance(now, list) else now
        threads.append(BackgroundCall(lambda request=request, at=at: submitted(calls, request, at)))
        threads[-1].start()
        wait_until(
            lambda number=number: (
                calls._everyone._led_since > time.monotonic() and len(calls._everyone._queued) == number
            )
        )
    return threads


def submitted(calls, request, now):
    """Submit in a thread that the test may end."""
    try:
        return submit(calls, request, now)
    except SystemExit as error:
        return error


def wait_until(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


def interrupt(thread):
    """Raise SystemExit in a thread, as a server does that ends a worker."""
    found = ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(thread.ident), ctypes.py_object(SystemExit)
    )
    assert found == 1


def test_each_caller_gets_the_outcome_of_its_own_request(calls, sizes):
    funded, nearly_empty = new_account(), new_account()
    give(funded, "1000")
    give(nearly_empty, "3")
    requests = [charge_request(funded if n % 2 else nearly_empty, str(n + 1), f"use {n}") for n in range(40)]
    outcomes = at_once([lambda request=request: submit(calls, request) for request in requests])
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
def test_an_invalid_request_fails_alone(calls, sizes):
    account = new_account()
    give(account, "1000")
    invalid = charge_request(account, "1", "invalid", service="x" * 101)  # longer than the column allows
    requests = [charge_request(account, "1", f"use {n}") for n in range(20)]
    outcomes = at_once(
        [
            lambda request=request: submit(calls, request)
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


def test_an_error_of_the_shared_call_after_its_commit_charges_no_request_twice(calls, shared):
    """The connection is lost between commit and response: the retry finds its key used."""
    account = new_account()
    give(account, "1000")

    def lost(taken, statement):
        charge_together(taken, statement)
        for waiting in taken:
            waiting.row = None
        raise ConnectionError("lost after the commit")

    shared(lost)
    outcomes = at_once(
        [lambda n=n: submit(calls, charge_request(account, "1", f"use {n}")) for n in range(24)]
    )
    assert {type(outcome) for outcome in outcomes} == {ledger.Charged}
    assert ledger.balance(account, NOON).total == D("976")


@pytest.mark.fault("L16")
def test_a_leading_thread_whose_connection_breaks_fails_nobody(calls, pause, shared):
    account, other = new_account(), new_account()
    give(account, "10")
    give(other, "10")
    ended = []

    def broken_connection(taken, statement):
        if not ended:
            ended.append(len(taken))
            with connection.cursor() as cursor:
                cursor.execute("select pg_backend_pid()")
                own = cursor.fetchone()[0]
            administrator.execute("select pg_terminate_backend(%s, 1000)", [own])
        charge_together(taken, statement)

    shared(broken_connection)
    requests = [charge_request(account if n % 2 else other, "1", f"use {n}") for n in range(9)]
    with connection.cursor() as administrator:
        threads = started(calls, requests)
        pause.ended.set()
        outcomes = [thread.outcome() for thread in threads]
    assert ended == [8]
    assert [type(outcome) for outcome in outcomes] == [ledger.Charged] * 9
    assert [outcome.replayed for outcome in outcomes] == [False] * 9
    assert ledger.balance(account, NOON).total + ledger.balance(other, NOON).total == D("11")


@pytest.mark.fault("L16")
@pytest.mark.parametrize("victim", [1, 3, 0], ids=["next to lead", "waiting", "leading"])
def test_a_thread_that_ends_while_it_waits_or_leads_does_not_block_the_queue(calls, pause, victim):
    account = new_account()
    give(account, "10")
    threads = started(calls, [charge_request(account, "1", f"use {n}") for n in range(6)])
    interrupt(threads[victim])
    wait_until(lambda: not threads[victim].is_alive())
    pause.ended.set()
    outcomes = [thread.outcome() for thread in threads]
    assert type(outcomes.pop(victim)) is SystemExit
    assert [type(outcome) for outcome in outcomes] == [ledger.Charged] * 5
    assert Charge.objects.filter(account_id=account).count() == 5
    assert submit(calls, charge_request(account, "1", "afterwards")).balance_after == D("4")


def test_no_request_waits_forever_when_the_shared_call_is_interrupted(calls, pause, shared):
    account = new_account()
    give(account, "1000")
    ended = []

    def interrupted(taken, statement):
        if not ended:
            ended.append(len(taken))
            raise KeyboardInterrupt
        charge_together(taken, statement)

    shared(interrupted)

    def charge(n):
        try:
            return submit(calls, charge_request(account, "1", f"use {n}"))
        except BaseException as error:
            return error

    threads = [BackgroundCall(lambda n=n: charge(n)) for n in range(12)]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(calls._everyone._queued) == 11)
    pause.ended.set()
    outcomes = [thread.outcome() for thread in threads]
    assert len(of_kind(outcomes, ledger.Charged)) == 11
    assert len(of_kind(outcomes, KeyboardInterrupt)) == 1
    assert Charge.objects.filter(account_id=account).count() == 11


@pytest.mark.fault("L16", "T7")
def test_each_charge_of_a_shared_call_is_decided_by_its_own_time(calls, pause, sizes):
    """A limit of 2 a day: one before midnight is refused, one a millisecond after it is not."""
    account, other = new_account(), new_account()
    give(account, "10")
    give(other, "5", "soon", expires_at=MIDNIGHT)
    project = new_account()
    terms = {"kind": "project", "subject": str(project), "period": "day", "maximum": D("2")}
    ledger.set_limit(account_id=account, now=NOON, **terms)
    before, after = MIDNIGHT - MILLISECOND, MIDNIGHT + MILLISECOND
    wanted = [
        (charge_request(account, "2", "first", project_id=project), before),
        (charge_request(account, "1", "after", project_id=project), after),
        (charge_request(account, "1", "before", project_id=project), before),
        (charge_request(other, "1", "expired"), after),
        (charge_request(other, "1", "in force"), before),
    ]
    threads = started(calls, [request for request, _ in wanted], [at for _, at in wanted])
    pause.ended.set()
    _, late, early, expired, in_force = [thread.outcome() for thread in threads]
    assert sizes == [4]
    assert isinstance(early, ledger.LimitReached)
    assert (type(late), late.created_at) == (ledger.Charged, after)
    assert isinstance(expired, ledger.InsufficientCredits)
    assert (type(in_force), in_force.created_at) == (ledger.Charged, before)
    assert broken([account, other]) == []


def test_a_charge_in_a_transaction_of_the_caller_is_not_shared():
    from django.db import transaction

    account = new_account()
    give(account, "10")
    with transaction.atomic():
        ledger.charge(charge_request(account, "1", "rolled back"), NOON)
        transaction.set_rollback(True)
    assert ledger.balance(account, NOON).total == D("10")
    assert connection.in_atomic_block is False
