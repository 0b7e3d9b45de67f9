"""Calls of a wallet for which too many threads wait already: they wait in the event loop and try again."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.conf import settings
from django.db import connection, connections, transaction

from accounts.models import Account, User
from billing.models import Hold
from tests.config.front.rsgi import Front, Protocol

HOLD = b'{"service": "document-question", "credits": "1"}'

pytestmark = pytest.mark.django_db(transaction=True)


@contextmanager
def locked(account: Account, released: threading.Event) -> Iterator[None]:
    """Another transaction holds the account's wallet until it is released."""
    holds = threading.Event()

    def hold() -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("select from billing_wallet where account_id = %s for update", [account.pk])
            holds.set()
            released.wait(60)
        connections.close_all()

    thread = threading.Thread(target=hold)
    thread.start()
    assert holds.wait(60)
    yield
    thread.join()


def holds_of(secret: str, number: int) -> list[tuple[str, str, dict[str, str], bytes]]:
    headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}
    return [
        ("POST", "/api/v1/holds", headers | {"Idempotency-Key": f"h{one}"}, HOLD) for one in range(number)
    ]


def test_more_requests_than_threads_for_a_wallet_are_answered_when_it_is_free(
    catalogue: None, front: Front, api_of: Any, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("config.front.application.PAUSES", (0.03, 0.1, *[0.5] * 120))  # for a loaded machine
    secret, account, released = api_of(alice).secret, Account.objects.get(person=alice), threading.Event()
    with locked(account, released):
        threading.Timer(0.8, released.set).start()
        answers = front.send_together(holds_of(secret, 2 * settings.WEB_THREADS))
    assert [answer.status for answer in answers] == [201] * len(answers)
    assert Hold.objects.filter(account=account).count() == len(answers), "each is made once"


def test_a_wallet_that_stays_locked_is_refused_at_last(
    catalogue: None, front: Front, api_of: Any, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("config.front.application.PAUSES", (0.01, 0.02))
    secret, account, refused = api_of(alice).secret, Account.objects.get(person=alice), threading.Event()
    respond = Protocol.response_bytes

    def noted(self: Protocol, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        respond(self, status, headers, body)
        if status == 503:
            refused.set()

    monkeypatch.setattr(Protocol, "response_bytes", noted)
    with locked(account, refused):
        answers = front.send_together(holds_of(secret, 2 * settings.WEB_THREADS))
    statuses = {answer.status for answer in answers}
    assert 503 in statuses and statuses <= {201, 503}
    assert Hold.objects.filter(account=account).count() == sum(one.status == 201 for one in answers)
