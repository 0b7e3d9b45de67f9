"""Concurrent charges of one process share a database call and a commit.

Whoever comes first charges alone; whoever comes while that call is under way waits, and the first of those
then charges everything that waits in one call. Each caller is answered after the shared commit, so
durability is what it was, and one hot account becomes several times faster than single commits can be
(docs/decisions/0003).

Invariant: every submitted request gets exactly one outcome. If the shared call fails, its requests are tried
one by one, so that one request that raises an error cannot fail the others.
"""

import datetime as dt
import threading
from collections import deque
from collections.abc import Callable, Sequence

from billing.ledger.errors import LedgerError
from billing.ledger.moves import Charged, ChargeRequest

LARGEST = 256

Outcome = Charged | LedgerError
Together = Callable[[Sequence[ChargeRequest], dt.datetime], list[Outcome]]
Alone = Callable[[ChargeRequest, dt.datetime], Charged]


class _Waiting:
    """One request in the queue. Its thread is woken once: with the outcome, to lead, or to charge alone."""

    __slots__ = ("alone", "now", "outcome", "request", "turn")

    def __init__(self, request: ChargeRequest, now: dt.datetime) -> None:
        self.request = request
        self.now = now
        self.outcome: Outcome | BaseException | None = None
        self.alone = False  # whether its shared call failed, and its own thread charges it
        self.turn = threading.Event()


class Queue:
    """The requests of one process that wait for a database call; one call is under way at a time."""

    def __init__(self, *, together: Together, alone: Alone) -> None:
        self._together = together
        self._alone = alone
        self._waiting: deque[_Waiting] = deque()
        self._led = False
        self._lock = threading.Lock()

    def submit(self, request: ChargeRequest, now: dt.datetime) -> Outcome:
        """The outcome of this request, once it is committed (or refused). Raises database errors."""
        mine = _Waiting(request, now)
        with self._lock:
            self._waiting.append(mine)
            leading, self._led = not self._led, True
        if not leading:
            mine.turn.wait()
        if mine.outcome is None and not mine.alone:
            self._lead()
        if mine.outcome is None:  # the shared call failed
            self._charge_singly(mine)
        if isinstance(mine.outcome, BaseException) and not isinstance(mine.outcome, LedgerError):
            raise mine.outcome
        assert mine.outcome is not None
        return mine.outcome

    def _lead(self) -> None:
        """Charge what waits (the leader's own request is first), then pass the lead on.

        Requests of a shared call that failed are left to their own threads, so that one whose wallet stays
        locked delays the others by one lock timeout and not by two.
        """
        with self._lock:
            taken = [self._waiting.popleft() for _ in range(min(LARGEST, len(self._waiting)))]
        try:
            if len(taken) > 1:
                self._charge_together(taken)
            else:
                self._charge_singly(taken[0])
        finally:
            with self._lock:
                heir = self._waiting[0] if self._waiting else None
                self._led = heir is not None
            if heir is not None:
                heir.turn.set()
            for one in taken:
                one.alone = True
                one.turn.set()

    def _charge_together(self, taken: list[_Waiting]) -> None:
        # the earliest time: a request must not be refused for an expiry after the moment it was made
        now = min(one.now for one in taken)
        try:
            outcomes = self._together([one.request for one in taken], now)
        except Exception:
            return
        for one, outcome in zip(taken, outcomes, strict=True):
            one.outcome = outcome

    def _charge_singly(self, one: _Waiting) -> None:
        try:
            one.outcome = self._alone(one.request, one.now)
        except BaseException as error:  # a refusal, or a fault: the one who asked gets it
            one.outcome = error
