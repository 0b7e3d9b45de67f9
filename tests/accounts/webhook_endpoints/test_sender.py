"""The sender with real receivers: signatures, order, crashes, dead and slow receivers."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone
from refill_client import InvalidWebhook, verify_webhook
from standardwebhooks import Webhook

from accounts import encryption
from accounts.models import Account, WebhookDelivery, WebhookEndpoint
from accounts.tasks import send_webhooks
from accounts.webhook_endpoints import deliveries, endpoints, exchange, sender
from accounts.webhook_endpoints.exchange import Answer
from accounts.webhook_endpoints.sender import Sender
from tests.accounts.webhook_endpoints import receivers
from tests.accounts.webhook_endpoints.conftest import happen, new_endpoint
from tests.accounts.webhook_endpoints.receivers import Received, Receiver
from tests.integration.races.concurrency import BackgroundCall

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def account() -> Account:
    return Account.objects.create(name="Alice", external_id="alice")


@pytest.fixture(autouse=True)
def look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender, "LOOK_EVERY_SECONDS", 0.02)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receivers.http_receiver() as one:
        yield one


def send(seconds: float = 0.5) -> None:
    one = Sender()
    one.run(seconds)
    one.drain(20)


def statuses() -> list[str]:
    return list(WebhookDelivery.objects.order_by("event_id", "id").values_list("status", flat=True))


def created(account: Account | None, url: str) -> endpoints.Issued:
    return endpoints.create(
        account=account, url=url, events=["purchase.paid"], description="", now=timezone.now()
    )


def test_the_client_and_the_standard_library_verify_a_delivery(account: Account, receiver: Receiver) -> None:
    issued = created(account, receiver.url)
    happen(account, "a", now=timezone.now())
    send()
    [got] = receiver.received
    event = verify_webhook(got.body, got.headers, issued.secret)
    assert event == Webhook(issued.secret).verify(got.body, got.headers)
    assert event["type"] == "purchase.paid"
    assert event["data"]["account"] == {"id": account.public_id, "external_id": "alice"}
    assert got.headers["content-type"] == "application/json"
    with pytest.raises(InvalidWebhook):
        verify_webhook(got.body, got.headers, "whsec_" + "A" * 44)
    delivery = WebhookDelivery.objects.get()
    assert (delivery.response_status, delivery.response_body, delivery.attempts) == (200, "ok", 1)
    assert delivery.event.public_id == got.headers["webhook-id"]


def test_during_a_rotation_receivers_with_either_secret_verify(account: Account, receiver: Receiver) -> None:
    first = created(account, receiver.url)
    second = endpoints.rotate_secret(first.endpoint, timezone.now())
    happen(account, "a")
    send()
    [got] = receiver.received
    assert len(got.headers["webhook-signature"].split()) == 2
    for secret in (first.secret, second.secret):
        assert verify_webhook(got.body, got.headers, secret)
        assert Webhook(secret).verify(got.body, got.headers)


def test_a_secret_that_cannot_be_decrypted_sends_nothing(
    account: Account, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    created(account, receiver.url)
    happen(account, "a")

    def unreadable(_stored: bytes) -> str:
        raise encryption.Unreadable

    monkeypatch.setattr(encryption, "decrypt", unreadable)
    send()
    assert receiver.received == []
    assert "rotate" in WebhookDelivery.objects.get().error


def test_retries_have_the_same_id_and_body_and_a_new_timestamp(account: Account, receiver: Receiver) -> None:
    issued = created(account, receiver.url)
    receiver.answer = 500
    happen(account, "a")
    send()
    WebhookDelivery.objects.update(due_at=timezone.now())
    WebhookEndpoint.objects.update(next_at=timezone.now())
    receiver.answer = 200
    time.sleep(1)  # the timestamp is in seconds
    send()
    first, second = receiver.received
    assert first.body == second.body
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert int(second.headers["webhook-timestamp"]) > int(first.headers["webhook-timestamp"])
    assert verify_webhook(second.body, second.headers, issued.secret)
    assert statuses() == ["delivered"]


def test_two_senders_deliver_each_event_once_and_in_order(receiver: Receiver) -> None:
    accounts = [Account.objects.create(name=f"{number}") for number in range(4)]
    created(None, receiver.url)
    for number in range(10):
        for one in accounts:
            happen(one, f"{number}")
    receiver.answer = lambda _request: time.sleep(0.005) or 200  # type: ignore[func-returns-value]
    begin = threading.Barrier(2)

    def work() -> None:
        begin.wait(60)
        while WebhookDelivery.objects.exclude(status="delivered").exists() or not statuses():
            send(0.1)
        connection.close()

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    by_account: dict[str, list[str]] = {}
    for got in receiver.received:
        data = verify_body(got)
        by_account.setdefault(data["account"]["id"], []).append(data["fact"])
    assert len(receiver.received) == 40
    assert all(facts == [str(number) for number in range(10)] for facts in by_account.values())
    assert receiver.most_at_once <= deliveries.MOST_AT_ONCE


def verify_body(got: Received) -> Any:
    secret = encryption.decrypt(WebhookEndpoint.objects.get().secret)
    return verify_webhook(got.body, got.headers, secret)["data"]


def test_the_delivery_of_a_killed_sender_is_sent_again(
    account: Account, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    created(account, receiver.url)
    happen(account, "a")
    monkeypatch.setattr(deliveries, "finish", lambda *_arguments: None)  # it dies before it records
    send()
    monkeypatch.undo()
    assert statuses() == ["pending"]
    later = timezone.now() + deliveries.LEASE
    one = Sender(clock=lambda: later)
    one.run(0.2)
    one.drain(10)
    assert len(set(receiver.ids)) == 1 and len(receiver.ids) == 2
    assert statuses() == ["delivered"]


def test_a_dead_and_a_silent_receiver_do_not_delay_a_healthy_one(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.WEBHOOK_THREADS = 6
    real = exchange.post
    monkeypatch.setattr(exchange, "post", lambda url, **options: real(url, limit=120, **options))
    accounts = [Account.objects.create(name=f"{number}") for number in range(20)]
    with receivers.raw_receiver(receivers.silence) as silent, socket.socket() as dead:
        dead.bind(("127.0.0.1", 0))  # and does not listen: connections are refused
        new_endpoint(None, silent)
        new_endpoint(None, f"http://127.0.0.1:{dead.getsockname()[1]}/")
        new_endpoint(None, receiver.url)
        for one in accounts:
            happen(one, "a")
        begun = time.monotonic()
        one = Sender()
        while len(receiver.received) < len(accounts):
            one.run(0.1)
            assert time.monotonic() - begun < 60  # the silent one takes two minutes
    one.drain(1)
    assert len(receiver.received) == 20


def test_requests_go_on_between_two_runs(account: Account, receiver: Receiver) -> None:
    go = threading.Event()
    created(account, receiver.url)
    receiver.answer = lambda _request: 200 if go.wait(60) else 500
    happen(account, "a")
    one = Sender()
    one.run(0.1)
    assert statuses() == ["pending"]
    go.set()
    deadline = time.monotonic() + 60
    while statuses() != ["delivered"] and time.monotonic() < deadline:
        one.run(0.05)
    assert statuses() == ["delivered"]
    assert len(receiver.received) == 1
    one.drain(1)


def test_what_has_not_ended_when_the_process_ends_is_sent_again_at_once(account: Account) -> None:
    with receivers.raw_receiver(receivers.silence) as silent:
        created(account, silent)
        happen(account, "a")
        ends = threading.Event()
        one = Sender(ending=ends.is_set)
        one.run(0.1)
        ends.set()
        begun = time.monotonic()
        one.run(60)
        one.drain(0.1)
        assert time.monotonic() - begun < 30
    [delivery] = WebhookDelivery.objects.all()
    assert (delivery.status, delivery.attempts, delivery.claimed_until) == ("pending", 0, None)
    assert delivery.due_at is not None and delivery.due_at <= timezone.now()


def test_two_endpoints_of_the_platform_at_once_are_counted_one_after_the_other() -> None:
    for number in range(endpoints.MOST_ENDPOINTS - 1):
        created(None, f"https://hooks.example.com/{number}")
    second = BackgroundCall(lambda: created(None, "https://hooks.example.com/11"))
    with transaction.atomic():
        created(None, "https://hooks.example.com/10")
        second.start()
        assert second.is_blocked()
    assert isinstance(second.outcome(), endpoints.TooManyEndpoints)


def test_nothing_is_sent_inside_a_transaction(account: Account) -> None:
    with transaction.atomic(), pytest.raises(AssertionError):
        Sender().run(0.1)


def test_the_task_sends_and_the_process_records_its_last_answers(
    account: Account, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    from accounts import tasks

    tasks._sender.cache_clear()
    monkeypatch.setattr(tasks, "SEND_SECONDS", 0.3)
    created(account, receiver.url)
    happen(account, "a")
    send_webhooks()
    tasks.record_last_answers()
    assert statuses() == ["delivered"]
    tasks._sender.cache_clear()
    tasks.record_last_answers()  # a process that has sent nothing


@pytest.mark.parametrize(
    "speak",
    [receivers.drip_headers, receivers.drip_body, receivers.endless_continue],
    ids=lambda speak: speak.__name__,
)
def test_hostile_receivers_are_failures(
    account: Account, speak: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = exchange.post
    monkeypatch.setattr(exchange, "post", lambda url, **options: real(url, limit=0.2, **options))
    with receivers.raw_receiver(speak) as url:
        created(account, url)
        happen(account, "a")
        send(0.1)
    delivery = WebhookDelivery.objects.get()
    assert (delivery.status, delivery.error, delivery.attempts) == ("pending", "timed out", 1)


def test_a_status_line_with_a_nul_character_is_a_failure(account: Account) -> None:
    with receivers.raw_receiver(receivers.nul_status_line) as url:
        created(account, url)
        happen(account, "a")
        send(0.1)
    delivery = WebhookDelivery.objects.get()
    assert (delivery.status, delivery.attempts) == ("pending", 1)
    assert delivery.error == "BadStatusLine: HTTP/1.1 2\ufffd00 OK\r\n"


def test_an_endpoint_can_be_deleted_while_deliveries_are_created_and_finished(account: Account) -> None:
    endpoint = created(account, "https://hooks.example.com/").endpoint
    now = timezone.now()
    happen(account, "a")
    deliveries.fan_out(now)
    claimed = deliveries.claim(now)
    assert claimed is not None
    happen(account, "b")
    deletion = BackgroundCall(lambda: endpoints.delete(endpoint))
    with transaction.atomic():
        deliveries.fan_out(now)
        deletion.start()
        assert deletion.is_blocked()
        deliveries.finish(claimed, Answer(status=200), now)
    assert deletion.outcome() is None
    assert not WebhookDelivery.objects.exists()
