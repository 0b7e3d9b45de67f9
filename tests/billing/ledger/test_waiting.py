"""How many threads of a process may wait for one locked wallet."""

import uuid
from contextlib import ExitStack

import pytest

from billing.ledger.waiting import MAX_WAITING, STUCK_SECONDS, WalletLocked, WalletWaits

ALICE, BOB = uuid.uuid4(), uuid.uuid4()


class Clock:
    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def waits(clock: Clock) -> WalletWaits:
    return WalletWaits(clock=clock)


def test_moves_of_a_stuck_wallet_are_refused_when_enough_wait_for_it(waits, clock):
    with ExitStack() as waiting:
        for _ in range(MAX_WAITING + 5):
            waiting.enter_context(waits.move(ALICE))  # none has waited long enough yet
        clock.seconds += STUCK_SECONDS + 0.01
        assert waits.is_stuck(ALICE)
        with pytest.raises(WalletLocked), waits.move(ALICE):
            pass
        with waits.move(BOB):
            assert not waits.is_stuck(BOB)
    assert not waits.is_stuck(ALICE)


def test_a_busy_wallet_whose_moves_succeed_is_not_stuck(waits, clock):
    with ExitStack() as waiting:
        for _ in range(MAX_WAITING):
            waiting.enter_context(waits.move(ALICE))
        for _ in range(20):
            clock.seconds += STUCK_SECONDS / 2
            with waits.move(ALICE):
                pass
        assert not waits.is_stuck(ALICE)


def test_a_move_that_failed_does_not_count_as_progress(waits, clock):
    with ExitStack() as waiting:
        for _ in range(MAX_WAITING - 1):
            waiting.enter_context(waits.move(ALICE))
        clock.seconds += STUCK_SECONDS
        with pytest.raises(ValueError), waits.move(ALICE):
            raise ValueError
        clock.seconds += 0.01
        assert waits.is_stuck(ALICE)
        with waits.move(ALICE):  # fewer than the maximum wait: one more may try
            pass
        assert not waits.is_stuck(ALICE)
