"""Concurrent calls in threads with their own connections; lock waits are reported by the database.

Races need commits, which the suite's usual transaction around a test does not make. `committed` lets a test
commit, and deletes its accounts afterwards: much quicker than emptying every table.
"""

import threading
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from django.db import connection, connections, transaction
from django.test import TransactionTestCase

from accounts.models import Account
from billing import ledger
from billing.ledger.waiting import WalletLocked

TIMEOUT_SECONDS = 60
TABLES = ["entry", "grant", "charge", "hold", "allowance", "limit", "correction", "notice"]
TABLES += ["usesum", "wallet"]


@pytest.fixture
def committed(monkeypatch: pytest.MonkeyPatch, transactional_db: None) -> None:
    """Commit the test's changes, and delete the accounts that it created with `new_account` afterwards."""
    # requested after monkeypatch, so that the database's teardown runs before the patch is undone
    monkeypatch.setattr(TransactionTestCase, "_fixture_teardown", lambda _: remove_test_accounts())
    with connection.cursor() as cursor:
        cursor.execute("set synchronous_commit = off")  # test data need not survive a crash


def remove_test_accounts() -> None:
    accounts = list(Account.objects.filter(name="Test").values_list("id", flat=True))
    with transaction.atomic(), connection.cursor() as cursor:
        # triggers refuse the deletion of entries; `replica` disables them, which the runtime role may not
        cursor.execute("set local role none")
        cursor.execute("set local session_replication_role = replica")
        for table in TABLES:
            cursor.execute(f"delete from billing_{table} where account_id = any(%s)", [accounts])
        cursor.execute("delete from accounts_account where id = any(%s)", [accounts])


class BackgroundCall(threading.Thread):
    """A call in a thread with its own connection; `outcome()` is its result or the error it raised."""

    def __init__(self, call: Callable[[], Any], start: threading.Barrier | None = None) -> None:
        super().__init__(daemon=True)
        self.call, self.begin = call, start
        self.backend: int | None = None
        self.result: Any = None

    def run(self) -> None:
        try:
            if self.begin is None:
                with connection.cursor() as cursor:
                    cursor.execute("select pg_backend_pid()")
                    self.backend = cursor.fetchone()[0]
            else:
                self.begin.wait(TIMEOUT_SECONDS)
            self.result = self.call()
        except Exception as error:
            self.result = error
        finally:
            connections.close_all()

    def outcome(self) -> Any:
        self.join(TIMEOUT_SECONDS)
        assert not self.is_alive(), "the call did not return: is there a deadlock?"
        return self.result

    def is_blocked(self) -> bool:
        """Return True when the database reports that the call waits for a lock, False when it has ended."""
        end = time.monotonic() + TIMEOUT_SECONDS
        while time.monotonic() < end:
            if self.backend is not None:
                with connection.cursor() as cursor:
                    cursor.execute("select cardinality(pg_blocking_pids(%s)) > 0", [self.backend])
                    if cursor.fetchone()[0]:
                        return True
            if not self.is_alive():
                return False
            time.sleep(0.002)
        raise AssertionError("the call neither waits nor ends")


def persistently(call: Callable[[], Any]) -> Any:
    """Make a call, and repeat it while it is refused because its wallet is in use, as clients repeat a 503.

    A refused call has moved nothing. On a loaded machine the thread whose transaction holds the wallet may
    wait for a processor for longer than others wait for the wallet (billing/ledger/waiting.py).
    """
    end = time.monotonic() + TIMEOUT_SECONDS / 2
    while True:
        try:
            return call()
        except (WalletLocked, ledger.WalletBusy):
            if time.monotonic() > end:
                raise
        time.sleep(0.05)


def charged_together(requests: list[ledger.ChargeRequest], now: datetime) -> list[Any]:
    """The outcomes of a batch; items whose wallet is in use are sent again."""
    outcomes = dict(enumerate(ledger.charge_many(requests, now)))
    end = time.monotonic() + TIMEOUT_SECONDS / 2
    while busy := [place for place, one in outcomes.items() if isinstance(one, ledger.WalletBusy)]:
        assert time.monotonic() < end, "the wallets stay in use"
        time.sleep(0.05)
        again = ledger.charge_many([requests[place] for place in busy], now)
        outcomes.update(zip(busy, again, strict=True))
    return list(outcomes.values())


def at_once(calls: list[Callable[[], Any]]) -> list[Any]:
    """Run all calls at once, a thread each. Returns their results or errors, in order.

    A call is made again when the ledger refuses it because its wallet is in use: its moves have keys.
    """
    start = threading.Barrier(len(calls))
    threads = [BackgroundCall(lambda call=call: persistently(call), start) for call in calls]  # type: ignore[misc]
    for thread in threads:
        thread.start()
    return [thread.outcome() for thread in threads]


def of_kind(outcomes: list[Any], kind: type) -> list[Any]:
    return [outcome for outcome in outcomes if isinstance(outcome, kind)]
