"""Calls of a wallet for which too many threads wait already: they wait in the event loop and try again."""

import threading
import time
from typing import Any

import pytest
from django.conf import settings
from django.db import connection, connections, transaction

from accounts.models import Account, User
from billing.models import Hold
from tests.config.front.rsgi import Front

HOLD = b'{"service": "document-question", "credits": "1"}'

pytestmark = pytest.mark.django_db(transaction=True)


def lock_for(seconds: float, account: Account) -> threading.Thread:
    """Hold the account's wallet in another transaction for so long."""
    holds = threading.Event()

    def hold() -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("select from billing_wallet where account_id = %s for update", [account.pk])
            holds.set()
            time.sleep(seconds)
        connections.close_all()

    thread = threading.Thread(target=hold)
    thread.start()
    assert holds.wait(10)
    return thread


def holds_of(secret: str, number: int) -> list[tuple[str, str, dict[str, str], bytes]]:
    headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}
    return [
        ("POST", "/api/v1/holds", headers | {"Idempotency-Key": f"h{one}"}, HOLD) for one in range(number)
    ]


def test_more_requests_than_threads_for_a_wallet_are_answered_when_it_is_free(
    catalogue: None, front: Front, api_of: Any, alice: User
) -> None:
    secret, account = api_of(alice).secret, Account.objects.get(person=alice)
    thread = lock_for(0.8, account)
    answers = front.send_together(holds_of(secret, 2 * settings.WEB_THREADS))
    thread.join()
    assert [answer.status for answer in answers] == [201] * len(answers)
    assert Hold.objects.filter(account=account).count() == len(answers), "each is made once"


def test_a_wallet_that_stays_locked_is_refused_at_last(
    catalogue: None, front: Front, api_of: Any, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("config.front.application.PAUSES", (0.01, 0.02))
    secret, account = api_of(alice).secret, Account.objects.get(person=alice)
    thread = lock_for(1.5, account)
    answers = front.send_together(holds_of(secret, 2 * settings.WEB_THREADS))
    thread.join()
    statuses = {answer.status for answer in answers}
    assert 503 in statuses and statuses <= {201, 503}
    assert Hold.objects.filter(account=account).count() == sum(one.status == 201 for one in answers)
