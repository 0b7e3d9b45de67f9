"""How many threads of a process may wait for locked wallets."""

import uuid
from contextlib import ExitStack

import pytest
from django.db import OperationalError

from billing.ledger.waiting import (
    HELD_SECONDS,
    HELD_WORKING_SECONDS,
    MAX_WAITING,
    STUCK_SECONDS,
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
def waits(clock: Clock, holders: dict[uuid.UUID, Holder]) -> WalletWaits:
    return WalletWaits(most=MOST, holder_of=holders.get, clock=clock)


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
