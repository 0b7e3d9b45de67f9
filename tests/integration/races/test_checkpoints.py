"""Checkpoints beside charges: neither waits for the other, and every checkpoint is verified afterwards."""

import datetime as dt
import threading
import uuid
from decimal import Decimal

import pytest
from django.db import connection
from django.utils import timezone

from accounts.models import Account
from billing import ledger
from billing.ledger.models import Checkpoint

pytestmark = pytest.mark.django_db(transaction=True)


def charge(account: uuid.UUID, key: str) -> None:
    request = ledger.ChargeRequest(account_id=account, credits=Decimal(1), key=key, service="gpt-4o")
    ledger.charge(request, timezone.now())


@pytest.fixture
def accounts() -> list[uuid.UUID]:
    opened = []
    for number in range(4):
        account = Account.objects.create(name="Test")
        ledger.open_wallet(account.pk, timezone.now())
        ledger.grant(
            account_id=account.pk, credits=Decimal(10**9), key=f"g{number}", kind="top_up", label="Pack",
            now=timezone.now() - dt.timedelta(seconds=1),
        )  # fmt: skip
        opened.append(account.pk)
    return opened


def test_checkpoints_taken_by_two_processes_beside_charges_are_consistent(accounts):
    stop, enough = threading.Event(), threading.Event()
    errors: list[BaseException] = []

    def work(step):
        try:
            number = 0
            while not stop.is_set():
                step(number)
                number += 1
        except BaseException as error:
            errors.append(error)
            enough.set()
        finally:
            connection.close()

    def charges(account):
        return lambda number: charge(account, f"{account}-{number}")

    def takes(number):
        ledger.checkpoints.take(timezone.now())
        if Checkpoint.objects.count() >= 10:
            enough.set()

    steps = [*map(charges, accounts[:2]), takes, takes]
    threads = [threading.Thread(target=work, args=(step,)) for step in steps]
    for thread in threads:
        thread.start()
    was_enough = enough.wait(60)
    stop.set()
    for thread in threads:
        thread.join()
    assert (errors, was_enough) == ([], True)
    assert list(ledger.checkpoints.findings()) == []


def test_a_checkpoint_does_not_wait_for_a_locked_wallet(accounts):
    """Another connection holds the wallet's lock, as a long claw-back does."""
    locked, release = threading.Event(), threading.Event()

    def hold():
        with connection.cursor() as cursor:
            cursor.execute("begin")
            cursor.execute("select 1 from billing_wallet where account_id = %s for update", [accounts[0]])
            locked.set()
            release.wait(60)
            cursor.execute("rollback")
        connection.close()

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        assert locked.wait(30)
        with connection.cursor() as cursor:
            cursor.execute("set lock_timeout = '20s'")  # of the connection that the test closes
        (checkpoint,) = ledger.checkpoints.take(timezone.now())
        assert checkpoint.moved == 4
    finally:
        connection.close()
        release.set()
        thread.join()
