"""Limits how many threads of a process wait for locked wallets.

An account is stalled when its moves are in the database and none ends, except by a timeout or a lost
connection, because one transaction has held its wallet for 20 ms. A transaction that is computing or waits
for the disk is given a second: on a loaded machine each may take that long. A busy account is not stalled:
its moves end one after the other.

Invariant: at most three moves of an account outside a transaction are in the database at once; the other
threads wait here, where they can give up. The threads of stalled accounts are at most half of the threads of
a web process, and three for each account after STUCK_SECONDS: the others give up with WalletLocked, so that
requests of other accounts find a free thread.
"""

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from django.db import OperationalError

TICK_SECONDS = 0.012
HELD_SECONDS, HELD_WORKING_SECONDS = 0.02, 1.0
STUCK_SECONDS = 0.5
MAX_WAITING = 3


class WalletLocked(OperationalError):
    """Another transaction has held the wallet for a while. The move was not attempted."""


@dataclass(slots=True)
class _Moves:
    """The moves of one account in this process."""

    threads: int = 0  # that wait here or in the database
    calls: int = 0  # in the database
    since: float | None = None  # when the first of these calls began, or the last one ended
    holder: str | None = None  # the transaction that holds the wallet, as seen since `held_since`
    held_since: float = 0.0
    is_held: bool = False  # for long enough, and none has ended since then
    is_asked: bool = False  # whether a thread asks the database for the holder
    places: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(MAX_WAITING))

    def stalls(self, now: float, seconds: float) -> bool:
        """Whether no call has ended for longer than this."""
        return self.since is not None and now - self.since > seconds


@dataclass(frozen=True, slots=True)
class Holder:
    """The transaction that holds a wallet; `is_working`: it computes or waits for the disk."""

    transaction: str
    is_working: bool


class _Thread:
    """A thread that moves credits of an account."""

    __slots__ = ("account_id", "gave_up", "moves")

    def __init__(self, account_id: uuid.UUID, moves: _Moves) -> None:
        self.account_id = account_id
        self.moves = moves
        self.gave_up = False


class WalletWaits:
    """The moves of a process by account.

    `most`: threads that may wait for stalled accounts. `holder_of` asks the database who holds an account's
    wallet. `clock` returns seconds.
    """

    def __init__(
        self,
        *,
        most: int,
        holder_of: Callable[[uuid.UUID], Holder | None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most = most
        self._holder_of = holder_of
        self._clock = clock
        self._lock = threading.Lock()
        self._accounts: dict[uuid.UUID, _Moves] = {}

    @contextmanager
    def move(self, account_id: uuid.UUID, *, in_transaction: bool = False) -> Iterator[None]:
        """Run one move in the database, when there is a place for it.

        Inside a transaction it does not wait for a place: the transaction may hold the wallet that the others
        wait for. Raises WalletLocked.
        """
        with self.thread(account_id) as mine:
            if in_transaction:
                with self.call(account_id):
                    yield
                return
            while not mine.moves.places.acquire(timeout=TICK_SECONDS):
                self.check(mine)
            try:
                with self.call(account_id):
                    yield
            finally:
                mine.moves.places.release()

    @contextmanager
    def thread(self, account_id: uuid.UUID) -> Iterator[_Thread]:
        """Count this thread among those that move credits of the account. Raises WalletLocked."""
        with self._lock:
            moves = self._accounts.setdefault(account_id, _Moves())
            moves.threads += 1
        mine = _Thread(account_id, moves)
        try:
            self.check(mine)
            yield mine
        finally:
            with self._lock:
                if not mine.gave_up:
                    moves.threads -= 1
                if moves.threads == 0:
                    self._accounts.pop(account_id, None)

    @contextmanager
    def call(self, account_id: uuid.UUID) -> Iterator[None]:
        """Record that a call for the account is in the database. A thread of the account makes it."""
        moves = self._accounts[account_id]
        with self._lock:
            moves.calls += 1
            if moves.since is None:
                moves.since = self._clock()
        waited = False
        try:
            yield
        except OperationalError:
            waited = True
            raise
        finally:
            with self._lock:
                moves.calls -= 1
                if not waited:
                    moves.since = self._clock() if moves.calls else None
                    moves.is_held = False

    def check(self, mine: _Thread) -> None:
        """Give up when too many threads wait for stalled accounts. Raises WalletLocked."""
        moves = mine.moves
        with self._lock:
            if not self._are_too_many(moves, confirmed=False) or moves.is_asked:
                return
            moves.is_asked = not moves.is_held
        try:
            holder = None if moves.is_held else self._holder_of(mine.account_id)
        finally:
            moves.is_asked = False
        with self._lock:
            moves.is_held = moves.is_held or self._held_for_long(moves, holder)
            if moves.is_held and self._are_too_many(moves, confirmed=True):
                moves.threads -= 1
                mine.gave_up = True
                raise WalletLocked(f"the wallet of account {mine.account_id} is locked")

    def _are_too_many(self, moves: _Moves, *, confirmed: bool) -> bool:
        """Whether more threads than allowed wait for stalled accounts, if this account is one.

        `confirmed`: of the other accounts, only those count whose wallet is known to be held.
        """
        now = self._clock()
        if not moves.stalls(now, TICK_SECONDS / 2):
            return False
        if moves.threads > MAX_WAITING and moves.stalls(now, STUCK_SECONDS):
            return True
        return self._most < sum(
            other.threads
            for other in self._accounts.values()
            if other.is_held or (not confirmed and other.stalls(now, TICK_SECONDS / 2))
        )

    def _held_for_long(self, moves: _Moves, holder: Holder | None) -> bool:
        if holder is None or holder.transaction != moves.holder:
            moves.holder = holder.transaction if holder else None
            moves.held_since = self._clock()
            return False
        longest = HELD_WORKING_SECONDS if holder.is_working else HELD_SECONDS
        return self._clock() - moves.held_since > longest
