"""Limits how many threads of a process wait for one locked wallet.

Invariant: when moves of an account have been in the database for STUCK_SECONDS and none has succeeded
meanwhile, at most MAX_WAITING threads of this process wait for its wallet; further moves on it are refused at
once. So one locked wallet cannot hold every thread. A busy wallet is not stuck: its moves succeed one after
the other.
"""

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from django.db import OperationalError

STUCK_SECONDS = 0.5
MAX_WAITING = 3


class WalletLocked(OperationalError):
    """Another transaction has held the wallet for a while. The move was not attempted."""


@dataclass(slots=True)
class _Moves:
    began: list[float] = field(default_factory=list)
    last_success: float = float("-inf")


class WalletWaits:
    """The moves of a process that are in the database, by account. `clock` returns seconds."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._accounts: dict[uuid.UUID, _Moves] = {}

    def is_stuck(self, account_id: uuid.UUID) -> bool:
        """Whether moves of this account wait for its wallet and none succeeds."""
        with self._lock:
            return self._is_stuck(self._accounts.get(account_id))

    @contextmanager
    def move(self, account_id: uuid.UUID) -> Iterator[None]:
        """Register a move. Raises WalletLocked when enough threads wait for this wallet already."""
        began = self._clock()
        with self._lock:
            moves = self._accounts.setdefault(account_id, _Moves())
            if len(moves.began) >= MAX_WAITING and self._is_stuck(moves):
                raise WalletLocked(f"the wallet of account {account_id} is locked")
            moves.began.append(began)
        succeeded = False
        try:
            yield
            succeeded = True
        finally:
            with self._lock:
                moves.began.remove(began)
                if succeeded:
                    moves.last_success = self._clock()
                if not moves.began:
                    self._accounts.pop(account_id, None)

    def _is_stuck(self, moves: _Moves | None) -> bool:
        if moves is None or not moves.began:
            return False
        return self._clock() - max(moves.began[0], moves.last_success) > STUCK_SECONDS


waits = WalletWaits()
