"""Shared calls: concurrent charges of a process, of any accounts, in one database call.

Invariant: a call that accounts share waits for no wallet and settles none at length. A wallet that is
locked, has much due, was slow twice or fails the call is charged in calls of its own account, which wait for
its lock. Charges of one account share such a call, so that an account whose charges arrive in several
processes keeps its throughput.
"""

import datetime as dt
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from django.db import DatabaseError, InterfaceError, OperationalError

from billing.ledger import database
from billing.ledger.coalescing import Queue, Waiting
from billing.ledger.moves import ChargeRequest
from billing.ledger.uses import CHARGE, USE, use_as_json, use_parameters

APART_SECONDS = 60.0
ACCOUNT_LOCK_TIMEOUT = "250ms"  # of a call for the uses of one account that other calls do not wait for
OWN_WAIT_SECONDS = 40.0  # longer than a call waits for a lock and lasts
_AT_ONCE = f"select c.*, false as slow from ledger_charge_at_once({USE}, %(now)s) c"
_SHARED = """select (c.outcome).*, c.slow
  from ledger_charge_shared(%(uses)s::jsonb, %(times)s::timestamptz[], true) c order by c.ord"""
_OWN = """select (c.outcome).*, c.slow
  from ledger_charge_account(%(account_id)s, %(uses)s::jsonb, %(times)s::timestamptz[], %(lock_timeout)s) c
 order by c.ord"""


class _OwnQueue:
    """The queue of one account, while requests of the account use it."""

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self.users = 0


class SharedCalls:
    """Charges requests through the queue that all accounts share, or through that of their own account."""

    def __init__(self) -> None:
        self._everyone = Queue(self._charge_shared, prepare=_prepare)
        self._own: dict[uuid.UUID, _OwnQueue] = {}
        self._apart_until: dict[uuid.UUID, float] = {}
        self._slow: set[uuid.UUID] = set()  # accounts whose last use was slow
        self._lock = threading.Lock()

    def charge(self, request: ChargeRequest, now: dt.datetime) -> dict[str, Any]:
        """Charge one use and return its row of the SQL type ledger_outcome, committed.

        Raises UnknownWallet, WalletLocked and Django's database errors.
        """
        mine = Waiting(request, now)
        account_id = request.account_id
        if not self._is_apart(account_id):
            self._everyone.submit(mine)
            if mine.row is not None and mine.row["status"] != "busy":
                return mine.row
        if mine.row is not None or self._is_apart(account_id):
            self._submit_to_own(mine)
        if mine.error is not None:
            raise mine.error
        if mine.row is None:  # the shared call failed
            mine.row = self._charge_alone(mine)
        return mine.row

    def charge_at_once(
        self, uses: Sequence[tuple[ChargeRequest, dt.datetime]]
    ) -> list[dict[str, Any] | None]:
        """Charge uses of any accounts in one call that waits for no wallet and return their rows, committed.

        A use whose wallet is locked or kept apart has a row with the status "busy"; one whose call failed has
        none.
        """
        waiting = [Waiting(request, now) for request, now in uses]
        taken = []
        for each in waiting:
            if self._is_apart(each.request.account_id):
                each.row = {"status": "busy"}
            else:
                taken.append(each)
        if taken:
            self._charge_shared(taken)
        return [each.row for each in waiting]

    def _is_apart(self, account_id: uuid.UUID) -> bool:
        if account_id in self._own or database.is_distributed():
            return True
        until = self._apart_until.get(account_id)
        return until is not None and time.monotonic() < until

    def _keep_apart(self, account_id: uuid.UUID) -> None:
        now = time.monotonic()
        with self._lock:
            for other in [other for other, until in self._apart_until.items() if until < now]:
                del self._apart_until[other]
            self._apart_until[account_id] = now + APART_SECONDS

    def _submit_to_own(self, mine: Waiting) -> None:
        mine.row = None
        account_id = mine.request.account_id
        with database.waits.thread(account_id) as thread, self._own_queue(account_id) as queue:
            queue.submit(mine, on_wait=lambda: database.waits.check(thread))

    @contextmanager
    def _own_queue(self, account_id: uuid.UUID) -> Iterator[Queue]:
        with self._lock:
            own = self._own.get(account_id)
            if own is None:
                queue = Queue(_charge_own, longest_wait=OWN_WAIT_SECONDS, prepare=_prepare)
                own = self._own[account_id] = _OwnQueue(queue)
            own.users += 1
        try:
            yield own.queue
        finally:
            with self._lock:
                own.users -= 1
                if own.users == 0:
                    del self._own[account_id]

    def _charge_shared(self, taken: Sequence[Waiting]) -> None:
        """Charge the requests in one call. If it fails they keep no row, and each is charged alone."""
        try:
            if len(taken) == 1:
                (waiting,) = taken
                waiting.row = database.row(_AT_ONCE, use_parameters(waiting.request) | {"now": waiting.now})
            else:
                _charge_together(taken, _SHARED)
        except Exception:
            database.drop_broken()
            return
        for waiting in taken:
            if waiting.row is not None:
                self._note_pace(waiting.request.account_id, is_slow=waiting.row["slow"])

    def _note_pace(self, account_id: uuid.UUID, *, is_slow: bool) -> None:
        """Keep an account apart when two uses in turn are slow: a single one may be due to the machine."""
        if not is_slow:
            self._slow.discard(account_id)
        elif account_id in self._slow:
            self._slow.discard(account_id)
            self._keep_apart(account_id)
        else:
            self._slow.add(account_id)

    def _charge_alone(self, mine: Waiting) -> dict[str, Any]:
        """Charge a request whose shared call failed. If it fails again, its account is kept apart."""
        database.drop_broken()
        try:
            return database.move(CHARGE, use_parameters(mine.request) | {"now": mine.now})
        except (OperationalError, InterfaceError):
            raise
        except DatabaseError:
            self._keep_apart(mine.request.account_id)
            raise


def charge_account(uses: Sequence[tuple[ChargeRequest, dt.datetime]]) -> list[dict[str, Any] | None]:
    """Charge uses of one account in one call that waits briefly for its wallet, and return their rows.

    Raises Django's database errors.
    """
    waiting = [Waiting(request, now) for request, now in uses]
    try:
        _charge_together(waiting, _OWN, ACCOUNT_LOCK_TIMEOUT)
    except Exception:
        database.drop_broken()
        raise
    return [each.row for each in waiting]


def _charge_own(taken: Sequence[Waiting]) -> None:
    """Charge requests of one account in a call that waits for its wallet.

    After a timeout each of them raises it, after another error each is charged alone.
    """
    account_id = taken[0].request.account_id
    try:
        with database.waits.call(account_id):
            if len(taken) == 1:
                (waiting,) = taken
                waiting.row = database.row(CHARGE, use_parameters(waiting.request) | {"now": waiting.now})
            else:
                _charge_together(taken, _OWN)
    except Exception as error:
        database.drop_broken()
        if database.is_timeout(error):
            for waiting in taken:
                waiting.error = error


def _charge_together(taken: Sequence[Waiting], statement: str, lock_timeout: str | None = None) -> None:
    """Charge the requests in the order of their times, each at its own.

    `lock_timeout`: how long a call for one account waits for its wallet; None: as long as the session does.
    """
    ordered = sorted(taken, key=lambda waiting: waiting.now)
    uses = ",".join(waiting.text(use_as_json) for waiting in ordered)
    times = ",".join(waiting.now.isoformat() for waiting in ordered)  # psycopg takes longer for a list
    parameters: dict[str, Any] = {"uses": f"[{uses}]", "times": f"{{{times}}}"}
    if statement is not _SHARED:
        parameters |= {"account_id": taken[0].request.account_id, "lock_timeout": lock_timeout}
    rows = database.rows(statement, parameters)
    for waiting, row in zip(ordered, rows, strict=True):
        waiting.row = row


def _prepare(waiting: Waiting) -> None:
    waiting.text(use_as_json)


calls = SharedCalls()
