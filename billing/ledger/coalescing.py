"""Concurrent charges of one process share a database call and a commit.

Whoever comes first charges alone; whoever comes while that call is under way waits, and the next call
takes everything that waits. Each caller is answered after the shared commit, so durability is what it
was, and one hot account becomes several times faster than single commits can be (decision 0003).

Invariant: every submitted order gets exactly one outcome. If the shared call fails, its orders are tried
singly, so that one poisonous order cannot fail its neighbours.
"""

import datetime as dt
import threading
from collections import deque
from concurrent.futures import Future

from billing.ledger.errors import LedgerError
from billing.ledger.orders import Charged, ChargeOrder

LARGEST = 256

Outcome = Charged | LedgerError


class _Waiting:
    __slots__ = ("future", "now", "order")

    def __init__(self, order: ChargeOrder, now: dt.datetime) -> None:
        self.order = order
        self.now = now
        self.future: Future[Outcome] = Future()


class Queue:
    """The orders of one process that wait for a database call; as many calls at a time as `lanes`."""

    def __init__(self, lanes: int = 1) -> None:
        self._waiting: deque[_Waiting] = deque()
        self._turn = threading.BoundedSemaphore(lanes)

    def submit(self, order: ChargeOrder, now: dt.datetime) -> Outcome:
        """The outcome of this order, once it is committed (or refused). Raises database errors."""
        mine = _Waiting(order, now)
        self._waiting.append(mine)
        while not mine.future.done():
            with self._turn:
                if not mine.future.done():
                    self._charge_what_waits()
        return mine.future.result()

    def _charge_what_waits(self) -> None:
        taken: list[_Waiting] = []
        while self._waiting and len(taken) < LARGEST:
            taken.append(self._waiting.popleft())
        if len(taken) > 1:
            self._charge_together(taken)
        for one in taken:
            if not one.future.done():
                _charge_singly(one)

    def _charge_together(self, taken: list[_Waiting]) -> None:
        from billing.ledger import charges

        # the earliest time: an order must not be refused for an expiry after the moment it was made
        now = min(one.now for one in taken)
        try:
            outcomes = charges.charge_many([one.order for one in taken], now)
        except Exception:
            return
        for one, outcome in zip(taken, outcomes, strict=True):
            one.future.set_result(outcome)


def _charge_singly(one: _Waiting) -> None:
    from billing.ledger import charges

    try:
        one.future.set_result(charges.charge_alone(one.order, one.now))
    except LedgerError as refusal:
        one.future.set_result(refusal)
    except BaseException as error:  # the caller waits for an answer: it gets the error itself
        one.future.set_exception(error)


queue = Queue()
