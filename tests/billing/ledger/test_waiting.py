"""How many threads of a process may wait for locked wallets."""

import uuid
from contextlib import ExitStack

import pytest
from django.db import OperationalError

from billing.ledger import database
from billing.ledger import waiting as waiting_module
from billing.ledger.waiting import (
    HELD_SECONDS,
    HELD_WORKING_SECONDS,
    MAX_WAITING,
    STUCK_SECONDS,
    TICK_SECONDS,
    Holder,
    WalletLocked,
    WalletWaits,
)

ALICE, BOB = uuid.uuid4(), uuid.uuid4()
MOST = 8
LOCKED = Holder("700", is_working=False)


class Clock:
    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def holders() -> dict[uuid.UUID, Holder]:
    """The transactions that hold wallets."""
    return {}


@pytest.fixture
def waits(clock: Clock, holders: dict[uuid.UUID, Holder], monkeypatch: pytest.MonkeyPatch) -> WalletWaits:
    """Those of this process, which has 16 threads, with the test's clock and holders."""
    monkeypatch.setattr(database.waits, "_clock", clock)
    monkeypatch.setattr(database.waits, "_holder_of", holders.get)
    return database.waits


@pytest.fixture
def stack():
    with ExitStack() as stack:
        yield stack


def began(waits, stack, account, threads):
    """A move of the account is in the database, and this many of its threads wait."""
    waiting = [stack.enter_context(waits.thread(account)) for _ in range(threads)]
    stack.enter_context(waits.call(account))
    return waiting


def gave_up(waits, waiting):
    refused = 0
    for thread in waiting:
        if not thread.gave_up:
            try:
                waits.check(thread)
            except WalletLocked:
                refused += 1
    return refused


def test_half_of_the_threads_wait_for_a_locked_wallet_and_three_after_half_a_second(
    waits, clock, holders, stack
):
    waiting = began(waits, stack, ALICE, 16)
    holders[ALICE] = LOCKED
    assert gave_up(waits, waiting) == 0
    clock.seconds = 0.012
    assert gave_up(waits, waiting) == 0  # seen for the first time
    clock.seconds += HELD_SECONDS + 0.001
    assert gave_up(waits, waiting) == 16 - MOST
    clock.seconds = STUCK_SECONDS + 0.001
    assert gave_up(waits, waiting) == MOST - MAX_WAITING
    with pytest.raises(WalletLocked), waits.move(ALICE):
        pass
    with waits.move(BOB):
        pass


def test_the_threads_of_all_locked_wallets_count_together(waits, clock, holders, stack):
    first = began(waits, stack, ALICE, 5)
    second = began(waits, stack, BOB, 5)
    holders[ALICE], holders[BOB] = LOCKED, Holder("701", is_working=False)
    for _ in range(3):
        clock.seconds += HELD_SECONDS + 0.001
        gave_up(waits, first + second)
    assert sum(not thread.gave_up for thread in first + second) == MOST


def test_a_wallet_that_one_transaction_after_the_other_holds_is_not_locked(waits, clock, holders, stack):
    waiting = began(waits, stack, ALICE, 16)
    for number in range(20):
        clock.seconds += 0.02
        holders[ALICE] = Holder(str(number), is_working=False)
        assert gave_up(waits, waiting) == 0


def test_a_transaction_that_works_is_given_a_second(waits, clock, holders, stack):
    waiting = began(waits, stack, ALICE, 16)
    holders[ALICE] = Holder("700", is_working=True)
    clock.seconds = 0.012
    gave_up(waits, waiting)
    clock.seconds += HELD_WORKING_SECONDS - 0.01
    assert gave_up(waits, waiting) == 0
    clock.seconds += 0.02
    assert gave_up(waits, waiting) == 16 - MAX_WAITING


def test_a_busy_wallet_whose_moves_end_is_not_stuck(waits, clock, holders, stack):
    waiting = began(waits, stack, ALICE, 6)
    holders[ALICE] = LOCKED
    for _ in range(20):
        clock.seconds += STUCK_SECONDS / 2
        gave_up(waits, waiting)
        with waits.move(ALICE):
            pass
    assert not any(thread.gave_up for thread in waiting)


def test_a_move_that_waited_in_vain_is_no_progress_and_a_refused_one_is(waits, clock, holders, stack):
    waiting = began(waits, stack, ALICE, 6)
    holders[ALICE] = LOCKED
    clock.seconds = 0.012
    gave_up(waits, waiting)
    clock.seconds = STUCK_SECONDS + 0.001
    with pytest.raises(ValueError), waits.move(ALICE, in_transaction=True):
        raise ValueError
    assert gave_up(waits, waiting) == 0
    clock.seconds += 0.012
    gave_up(waits, waiting)
    clock.seconds += STUCK_SECONDS
    with pytest.raises(OperationalError), waits.call(ALICE):
        raise OperationalError("lock timeout")
    assert gave_up(waits, waiting) == 6 - MAX_WAITING


def test_the_database_is_asked_when_too_many_wait_and_by_one_thread_at_a_time(clock, stack):
    asked = []

    def holder_of(account):
        asked.append(account)
        if len(asked) < 5:
            waits.check(waiting[1])  # of another thread meanwhile
        return LOCKED

    waits = WalletWaits(most=MOST, holder_of=holder_of, clock=clock)
    waiting = began(waits, stack, ALICE, MOST)
    clock.seconds = 0.1
    waits.check(waiting[0])
    assert asked == []
    waiting.append(stack.enter_context(waits.thread(ALICE)))
    assert asked == [ALICE]
    clock.seconds += HELD_SECONDS / 2
    waits.check(waiting[0])
    assert asked == [ALICE, ALICE]
    clock.seconds += HELD_SECONDS
    assert gave_up(waits, waiting) == 1
    waiting.append(stack.enter_context(waits.thread(BOB)))
    assert asked == [ALICE] * 3  # no more once the wallet is known to be held


def test_a_database_that_does_not_answer_is_asked_again(clock, stack):
    answers = [LOCKED]

    def holder_of(_account):
        if not answers:
            raise OperationalError
        return answers[0]

    waits = WalletWaits(most=MOST, holder_of=holder_of, clock=clock)
    waiting = began(waits, stack, ALICE, 16)
    clock.seconds = 0.1
    answers.clear()
    with pytest.raises(OperationalError):
        waits.check(waiting[0])
    answers.append(LOCKED)
    waits.check(waiting[0])
    clock.seconds += HELD_SECONDS * 2
    assert gave_up(waits, waiting) == 16 - MOST


def test_threads_of_a_wallet_that_is_not_held_for_long_count_for_no_refusal(waits, clock, holders, stack):
    first = began(waits, stack, ALICE, 5)
    began(waits, stack, BOB, 5)
    holders[ALICE] = LOCKED
    for _ in range(3):
        clock.seconds += HELD_SECONDS + 0.001
        assert gave_up(waits, first) == 0


@pytest.fixture
def exact_limits(monkeypatch):
    """Limits that a float represents exactly."""
    for name, seconds in {"TICK_SECONDS": 0.25, "HELD_SECONDS": 0.25, "STUCK_SECONDS": 8.0}.items():
        monkeypatch.setattr(waiting_module, name, seconds)


@pytest.mark.parametrize(("seconds", "refused"), [(0.125, 0), (0.1875, 16 - MOST)])
def test_a_move_is_stalled_after_half_a_tick(
    exact_limits, waits, clock, holders, stack, monkeypatch, seconds, refused
):
    monkeypatch.setattr(waiting_module, "HELD_SECONDS", -1.0)
    waiting = began(waits, stack, ALICE, 16)
    holders[ALICE] = LOCKED
    clock.seconds = seconds
    assert gave_up(waits, waiting) == refused


@pytest.mark.parametrize(("seconds", "asks"), [(0.0, False), (0.125, False), (0.1875, True)])
def test_threads_of_another_wallet_count_after_half_a_tick(exact_limits, clock, stack, seconds, asks):
    asked = []
    waits = WalletWaits(most=MOST, holder_of=asked.append, clock=clock)
    first = began(waits, stack, ALICE, 5)
    clock.seconds = 1.0
    began(waits, stack, BOB, 5)
    clock.seconds += seconds
    assert gave_up(waits, first) == 0
    assert bool(asked) is asks


@pytest.mark.parametrize(("seconds", "refused"), [(0.25, 0), (0.375, 16 - MOST)])
def test_a_wallet_is_locked_when_one_transaction_holds_it_for_longer_than_the_limit(
    exact_limits, waits, clock, holders, stack, seconds, refused
):
    waiting = began(waits, stack, ALICE, 16)
    holders[ALICE] = LOCKED
    clock.seconds = 1.0
    gave_up(waits, waiting)
    clock.seconds += seconds
    assert gave_up(waits, waiting) == refused


@pytest.mark.parametrize(("seconds", "refused"), [(8.0, 0), (8.125, MOST - MAX_WAITING)])
def test_three_threads_are_left_when_no_move_ends_for_longer_than_the_limit(
    exact_limits, waits, clock, holders, stack, seconds, refused
):
    waiting = began(waits, stack, ALICE, 16)
    holders[ALICE] = LOCKED
    clock.seconds = 1.0
    gave_up(waits, waiting)
    clock.seconds = 2.0
    assert gave_up(waits, waiting) == 16 - MOST
    clock.seconds = seconds
    assert gave_up(waits, waiting) == refused


@pytest.fixture
def asked():
    """The accounts whose holder the database was asked for."""
    return []


@pytest.fixture
def waits_of_locked(clock, asked):
    """Every wallet is locked."""

    def holder_of(account):
        asked.append(account)
        clock.seconds += HELD_SECONDS
        return LOCKED

    return WalletWaits(most=MOST, holder_of=holder_of, clock=clock)


def test_a_thread_that_waits_for_a_place_gives_up(waits_of_locked, clock, stack):
    for _ in range(MAX_WAITING):
        stack.enter_context(waits_of_locked.move(ALICE))
    began(waits_of_locked, stack, ALICE, MOST)
    clock.seconds = 0.1
    with pytest.raises(WalletLocked), waits_of_locked.move(ALICE):
        pytest.fail("all places were taken")
    for _ in range(MOST):  # a thread that gave up is not counted any more, and only once
        with pytest.raises(WalletLocked), waits_of_locked.move(ALICE):
            pass


def test_a_wallet_whose_threads_have_all_given_up_is_not_refused_later(waits_of_locked, clock, stack):
    with ExitStack() as first:
        waiting = [first.enter_context(waits_of_locked.thread(ALICE)) for _ in range(16)]
        with pytest.raises(OperationalError), waits_of_locked.call(ALICE):
            raise OperationalError("lock timeout")
        clock.seconds = STUCK_SECONDS * 2
        assert gave_up(waits_of_locked, waiting) == 16 - MAX_WAITING
    for _ in range(16):
        stack.enter_context(waits_of_locked.thread(ALICE))


def test_threads_wait_for_nothing_when_no_move_is_in_the_database(waits_of_locked, clock, stack, asked):
    waiting = [stack.enter_context(waits_of_locked.thread(ALICE)) for _ in range(16)]
    for _ in range(2):
        with waits_of_locked.move(ALICE):
            clock.seconds += STUCK_SECONDS
    clock.seconds += STUCK_SECONDS * 2
    assert gave_up(waits_of_locked, waiting) == 0 and asked == []


def test_a_wallet_is_not_known_to_be_locked_any_more_when_a_move_has_ended(waits, clock, holders, stack):
    waiting = began(waits, stack, ALICE, 16)
    holders[ALICE] = LOCKED
    for _ in range(3):
        clock.seconds += HELD_SECONDS * 1.5
        gave_up(waits, waiting)
    assert sum(thread.gave_up for thread in waiting) == 16 - MOST
    with waits.call(ALICE):
        holders[ALICE] = Holder("701", is_working=False)
    more = [stack.enter_context(waits.thread(ALICE)) for _ in range(5)]
    clock.seconds += HELD_SECONDS * 1.5
    assert gave_up(waits, more) == 0
    clock.seconds += HELD_SECONDS * 1.5
    assert gave_up(waits, more) == 5


def test_a_busy_account_is_not_asked_for_because_another_one_is_stalled(waits_of_locked, clock, stack, asked):
    began(waits_of_locked, stack, ALICE, 16)
    clock.seconds = 0.1
    waiting = began(waits_of_locked, stack, BOB, 5)
    clock.seconds += TICK_SECONDS * 0.45
    assert gave_up(waits_of_locked, waiting) == 0 and asked == []
