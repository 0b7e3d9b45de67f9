"""Balances that are read while other transactions move the account's credits."""

import itertools
import threading
import time
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from django.db import OperationalError, connection, transaction

from billing import ledger
from tests.billing.ledger.conftest import NOON, D, charge_request, give, new_account, spend
from tests.integration.races.concurrency import BackgroundCall, at_once

pytestmark = pytest.mark.usefixtures("committed")
READS, WRITES = 150, 1000  # of each reader and writer
LATER = NOON + timedelta(hours=2)


def wallet_of_which_credits_expire() -> UUID:
    account = new_account()
    for number in range(6):
        ends = NOON + timedelta(milliseconds=number + 1)
        give(account, "1000", f"grant {number}", priority=number)
        give(account, "1", f"ends {number}", kind="bonus", expires_at=ends)
    return account


def move(account: UUID, key: str, kind: int, now: datetime) -> None:
    """Give, charge or hold credits: more are given than taken."""
    if kind == 0:
        give(account, "5.5", f"more {key}", now=now)
    elif kind == 1:
        spend(account, "2.000001", key, now=now)
    else:
        ledger.hold(charge_request(account, "3", key), expires_at=LATER, now=now)


@pytest.mark.fault("L20", "L3")
def test_the_total_is_the_sum_of_the_grants_at_every_read() -> None:
    """Writers charge, give and hold, credits expire in between; each of 600 reads adds up.

    Writers stop with the readers or after WRITES, and readers go on until a few writes are made: neither a
    slow reader nor a slow writer changes the outcome.
    """
    account = wallet_of_which_credits_expire()
    done, written = threading.Event(), threading.Semaphore(0)
    clock = itertools.count()

    def write(writer: int) -> None:
        for number in range(WRITES):
            if not done.is_set():
                move(
                    account, f"{writer} {number}", number % 3, NOON + timedelta(microseconds=next(clock) * 20)
                )
                written.release()

    def read() -> int:
        wrong = 0
        for number in range(READS):
            if number % 30 == 15:
                assert written.acquire(timeout=60)
            balance = ledger.balance(account, NOON + timedelta(microseconds=next(clock) * 20))
            sums = sum((grant.remaining for grant in balance.grants), Decimal(0))
            wrong += not (balance.total == balance.available == sums)
        return wrong

    def read_all() -> list[int]:
        try:
            return at_once([read] * 4)
        finally:
            done.set()

    *writers, wrong = at_once([lambda: write(0), lambda: write(1), lambda: write(2), read_all])
    assert wrong == [0, 0, 0, 0]
    assert writers == [None] * 3


@pytest.mark.fault("L16")
def test_a_balance_with_nothing_due_is_read_while_its_wallet_is_locked() -> None:
    account = new_account()
    give(account, "10")
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("select 1 from billing_wallet where account_id = %s for update", [account])
        read = BackgroundCall(lambda: ledger.balance(account, NOON).total)
        read.start()
        assert read.outcome() == D("10")


@pytest.mark.fault("L16")
def test_a_due_balance_of_a_locked_wallet_is_refused_within_a_second() -> None:
    """Measured: 0.26 s. The bound allows for a loaded machine; without a limit the call would not return."""
    account = new_account()
    give(account, "10", kind="bonus", expires_at=NOON + timedelta(hours=1))

    def read() -> float:
        began = time.perf_counter()
        with pytest.raises(OperationalError):
            ledger.balance(account, LATER)
        with pytest.raises(OperationalError):
            ledger.settle_for_read(account, LATER)
        return time.perf_counter() - began

    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("select 1 from billing_wallet where account_id = %s for update", [account])
        call = BackgroundCall(read)
        call.start()
        assert call.outcome() < 5
    assert ledger.balance(account, LATER).total == 0
