"""Coalescing: concurrent charges of one process share a database call and a commit.

The first request is charged alone. Requests that arrive during that call wait, and the thread of the first of
them then charges all of them in one call. Each caller returns after the shared commit, so durability does not
change, and a busy account is several times faster than with single commits (docs/decisions/0003).

Invariants: every submitted request gets exactly one outcome; if the shared call fails, each of its requests
is tried in its own thread, so that one request that raises an error cannot fail the others; no call that
others wait for waits for a locked wallet longer than 100 ms, and requests of a stuck wallet do not enter the
queue at all.
"""

import datetime as dt
import threading
import uuid
from collections import deque
from collections.abc import Callable, Sequence

from billing.ledger.errors import LedgerError
from billing.ledger.moves import Charged, ChargeRequest

LARGEST = 256

Outcome = Charged | LedgerError
Together = Callable[[Sequence[ChargeRequest], dt.datetime], list[Outcome]]
Alone = Callable[[ChargeRequest, dt.datetime], Charged]


class WalletNotFree(Exception):
    """A wallet was not free within the short time that a shared call waits for it."""


class _Waiting:
    """One request in the queue. Its thread wakes once: with the outcome, to lead, or to charge alone."""

    __slots__ = ("alone", "now", "outcome", "request", "woken")

    def __init__(self, request: ChargeRequest, now: dt.datetime) -> None:
        self.request = request
        self.now = now
        self.outcome: Outcome | BaseException | None = None
        self.alone = False  # whether its shared call failed, and its own thread charges it
        self.woken = threading.Event()


class Queue:
    """The requests of one process that wait for a database call; one call runs at a time."""

    def __init__(
        self,
        *,
        together: Together,
        alone: Alone,
        briefly: Alone | None = None,
        is_stuck: Callable[[uuid.UUID], bool] = lambda _account_id: False,
    ) -> None:
        self._together = together
        self._alone = alone
        self._briefly = briefly or alone
        self._is_stuck = is_stuck
        self._waiting: deque[_Waiting] = deque()
        self._led = False
        self._lock = threading.Lock()

    def submit(self, request: ChargeRequest, now: dt.datetime) -> Outcome:
        """Return the outcome of this request once it is committed (or refused). Raises database errors."""
        mine = _Waiting(request, now)
        if self._is_stuck(request.account_id):
            return self._alone(request, now)
        with self._lock:
            self._waiting.append(mine)
            leading, self._led = not self._led, True
        if not leading:
            mine.woken.wait()
        if mine.outcome is None and not mine.alone:
            self._lead()
        if mine.outcome is None:  # the shared call failed, or the wallet was not free at once
            self._charge_singly(mine)
        if isinstance(mine.outcome, BaseException) and not isinstance(mine.outcome, LedgerError):
            raise mine.outcome
        assert mine.outcome is not None
        return mine.outcome

    def _lead(self) -> None:
        """Charge the waiting requests (this thread's own is the first), then let the next thread lead.

        Requests of a shared call that failed, and one whose wallet was not free at once, are left to their
        own threads, so that a locked wallet does not hold the queue.
        """
        with self._lock:
            taken = [self._waiting.popleft() for _ in range(min(LARGEST, len(self._waiting)))]
        try:
            if len(taken) > 1:
                self._charge_together(taken)
            else:
                self._charge_briefly(taken[0])
        finally:
            with self._lock:
                successor = self._waiting[0] if self._waiting else None
                self._led = successor is not None
            if successor is not None:
                successor.woken.set()
            for waiting in taken:
                waiting.alone = True
                waiting.woken.set()

    def _charge_together(self, taken: list[_Waiting]) -> None:
        # the earliest time: a request must not be refused for an expiry after the moment it was made
        now = min(waiting.now for waiting in taken)
        try:
            outcomes = self._together([waiting.request for waiting in taken], now)
        except Exception:
            return
        for waiting, outcome in zip(taken, outcomes, strict=True):
            waiting.outcome = outcome

    def _charge_briefly(self, waiting: _Waiting) -> None:
        try:
            waiting.outcome = self._briefly(waiting.request, waiting.now)
        except WalletNotFree:
            return
        except BaseException as error:  # refusal or fault: raised in the caller's thread
            waiting.outcome = error

    def _charge_singly(self, waiting: _Waiting) -> None:
        try:
            waiting.outcome = self._alone(waiting.request, waiting.now)
        except BaseException as error:  # refusal or fault: raised in the caller's thread
            waiting.outcome = error
