"""Coalescing: concurrent charges share a database call and a commit (docs/decisions/0003).

A thread that finds no call running leads: it charges its own request. Requests that arrive during that call
wait, and the thread of the first of them then charges all of them in one call. Each caller returns after the
shared commit, so durability does not change, and a busy account is several times faster than with single
commits.

Invariants: every submitted request is in at most one running call; its thread returns when that call has
ended, whatever happened to the leading thread; a thread that ends while it waits or leads leaves the queue to
the others; no request waits longer than `longest_wait` for a call that it is not part of.
"""

import datetime as dt
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from enum import Enum, auto
from typing import Any

from billing.ledger.moves import ChargeRequest

LARGEST = 32
WAIT_SECONDS = 0.025
TICK_SECONDS = 0.012
LOST_SECONDS = 60.0  # longer than a call can take: its leading thread has ended without a trace


class State(Enum):
    QUEUED = auto()
    LEADING = auto()
    TAKEN = auto()  # part of a call
    ENDED = auto()


class Waiting:
    """One request in a queue. Its call sets `row`, or `error` if its thread is to raise one."""

    __slots__ = ("_signal", "_text", "error", "now", "request", "row", "since", "state")

    def __init__(self, request: ChargeRequest, now: dt.datetime) -> None:
        self.request = request
        self.now = now
        self.row: dict[str, Any] | None = None
        self.error: Exception | None = None
        self.state = State.QUEUED
        self.since = 0.0  # when it was queued or taken
        self._text: str | None = None
        self._signal = threading.Lock()
        self._signal.acquire()

    def text(self, as_json: Callable[[ChargeRequest], str]) -> str:
        """The request as JSON, made once."""
        if self._text is None:
            self._text = as_json(self.request)
        return self._text

    def wake(self, state: State) -> None:
        """Set the state and wake its thread."""
        self.state = state
        with suppress(RuntimeError):  # it is awake already
            self._signal.release()

    def sleep(self, seconds: float) -> None:
        self._signal.acquire(timeout=seconds)


class Queue:
    """Requests that wait for a database call. One runs at a time, unless it lasts longer than `longest_wait`.

    `call` charges the requests that it is given and sets their rows. `prepare` runs in the thread of a
    request that has to wait.
    """

    def __init__(
        self,
        call: Callable[[Sequence[Waiting]], None],
        *,
        longest_wait: float = WAIT_SECONDS,
        prepare: Callable[[Waiting], object] = lambda _: None,
    ) -> None:
        self._call = call
        self._longest_wait = longest_wait
        self._prepare = prepare
        self._queued: deque[Waiting] = deque()
        self._leader: Waiting | None = None
        self._led_since = 0.0
        self._lock = threading.Lock()

    def submit(self, mine: Waiting, on_wait: Callable[[], None] = lambda: None) -> None:
        """Return when a call with this request has ended. It has failed if the request has no row.

        `on_wait` runs every 12 ms while the request is queued; an error that it raises removes the request.
        An error of the call is raised in the thread that led it.
        """
        try:
            leads = self._enter(mine)
            while leads or self._wait(mine, on_wait):
                if self._lead(mine):
                    break
                leads = False
        finally:
            self._leave(mine)

    def _enter(self, mine: Waiting) -> bool:
        """Queue the request. Returns whether its thread leads."""
        with self._lock:
            mine.state, mine.since = State.QUEUED, time.monotonic()
            self._queued.append(mine)
            if self._leader is None:
                self._appoint(mine)
        return mine.state is State.LEADING

    def _wait(self, mine: Waiting, on_wait: Callable[[], None]) -> bool:
        """Wait for the end of the request's call (False), or until its thread leads (True)."""
        self._prepare(mine)  # here, while another call runs, and not in the thread that leads the next one
        while True:
            left = self._led_since + self._longest_wait - time.monotonic()
            mine.sleep(min(max(left, 0.001), TICK_SECONDS))
            with self._lock:
                if mine.state is State.QUEUED and time.monotonic() - self._led_since > self._longest_wait:
                    self._appoint(mine)  # beside a call that takes long or has lost its thread
                if mine.state is State.LEADING:
                    return True
                if mine.state is State.ENDED or time.monotonic() - mine.since > LOST_SECONDS:
                    return False
            if mine.state is State.QUEUED:
                on_wait()

    def _lead(self, mine: Waiting) -> bool:
        """Charge the queued requests, this thread's own among them; then let the next thread lead.

        Returns False when another thread took the lead before this one woke.
        """
        taken: list[Waiting] = []
        try:
            with self._lock:
                if mine.state is not State.LEADING:
                    return False
                self._queued.remove(mine)
                taken.append(mine)
                while self._queued and len(taken) < LARGEST:
                    taken.append(self._queued.popleft())
                began = time.monotonic()
                for waiting in taken:
                    waiting.state, waiting.since = State.TAKEN, began
            self._call(taken)
        finally:
            try:
                self._hand_over(mine)
            finally:
                mine.state = State.ENDED
                for waiting in taken[1:]:
                    waiting.wake(State.ENDED)
        return True

    def _leave(self, mine: Waiting) -> None:
        """Remove what a thread that was interrupted has left. Has no effect after a call has ended."""
        if mine.state is State.ENDED:
            return
        with self._lock:
            if mine in self._queued:
                self._queued.remove(mine)
            mine.state = State.ENDED
        self._hand_over(mine)

    def _hand_over(self, mine: Waiting) -> None:
        with self._lock:
            if self._leader is not mine:
                return
            self._leader = None
            if self._queued:
                self._appoint(self._queued[0])

    def _appoint(self, waiting: Waiting) -> None:
        """Make a queued request's thread the leader. The caller holds the lock."""
        if self._leader is not None and self._leader.state is State.LEADING:  # appointed, and not awake yet
            self._leader.state = State.QUEUED
        self._leader = waiting
        self._led_since = time.monotonic()
        waiting.wake(State.LEADING)
