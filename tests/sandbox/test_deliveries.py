"""Deliveries of events: signed, after the commit, retried, and with the faults of the switches."""

import json
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import stripe
from django.core.management import call_command
from django.db import transaction
from django.utils import timezone

from sandbox import calls, switches
from sandbox.models import Delivery
from sandbox.objects import customers, deliveries
from sandbox.switches import Fault


class Listener:
    """A webhook endpoint that stores requests; `statuses` are its next responses (200 after them)."""

    def __init__(self) -> None:
        self.received: list[tuple[dict[str, str], bytes]] = []
        self.statuses: list[int] = []
        listener = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                listener.received.append((dict(self.headers), body))
                self.send_response(listener.statuses.pop(0) if listener.statuses else 200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    @property
    def types(self) -> list[str]:
        return [json.loads(body)["type"] for _, body in self.received]


@pytest.fixture
def listener(transactional_db: None, settings: Any) -> Iterator[Listener]:
    """The webhook endpoint to which the sandbox sends its events."""
    found = Listener()
    settings.SITE_URL = found.url
    yield found
    deliveries.wait_until_idle()
    found.server.shutdown()
    found.server.server_close()


def make_customer(name: str = "Ann") -> Any:
    with transaction.atomic():
        return customers.create(calls.without_request(timezone.now()).with_params(name=name))


def test_an_event_is_delivered_with_a_signature(listener: Listener) -> None:
    make_customer()
    deliveries.wait_until_idle()
    headers, body = listener.received[0]
    event = stripe.Webhook.construct_event(body, headers["Stripe-Signature"], "whsec_sandbox")  # type: ignore[no-untyped-call]
    assert (event.type, event.data.object.name) == ("customer.created", "Ann")
    assert Delivery.objects.get().state == Delivery.State.DELIVERED


def test_no_event_is_sent_before_the_commit_or_after_a_rollback(listener: Listener) -> None:
    with transaction.atomic():
        customers.create(calls.without_request(timezone.now()))
        time.sleep(0.1)
        assert listener.received == []
        transaction.set_rollback(True)
    deliveries.wait_until_idle()
    assert listener.received == []


def test_a_failed_delivery_is_retried(clock: object, listener: Listener) -> None:
    listener.statuses = [500, 302]
    make_customer()
    deliveries.wait_until_idle()
    delivery = Delivery.objects.get()
    assert (delivery.state, delivery.last_status, delivery.attempts) == (Delivery.State.WAITING, 500, 1)
    assert deliveries.deliver_due(timezone.now()) == 0
    assert deliveries.deliver_due(timezone.now() + timedelta(seconds=3)) == 1
    assert deliveries.deliver_due(timezone.now() + timedelta(seconds=30)) == 1
    delivery.refresh_from_db()
    assert (delivery.state, delivery.attempts) == (Delivery.State.DELIVERED, 3)


def test_a_delivery_is_given_up_and_can_be_repeated(listener: Listener) -> None:
    listener.statuses = [500] * 20
    make_customer()
    deliveries.wait_until_idle()
    for day in range(1, 20):
        deliveries.deliver_due(timezone.now() + timedelta(days=day))
    delivery = Delivery.objects.select_related("event").get()
    assert delivery.state == Delivery.State.GIVEN_UP
    listener.statuses = []
    deliveries.redeliver(delivery.event.stripe_id, timezone.now())
    deliveries.wait_until_idle()
    delivery.refresh_from_db()
    assert delivery.state == Delivery.State.DELIVERED


def test_an_unreachable_endpoint_is_retried(listener: Listener, settings: Any) -> None:
    settings.SITE_URL = "http://127.0.0.1:9"
    make_customer()
    deliveries.wait_until_idle()
    delivery = Delivery.objects.get()
    assert (delivery.state, delivery.last_status) == (Delivery.State.WAITING, None)
    assert "refused" in delivery.last_answer


def test_an_attempt_is_claimed_once(listener: Listener) -> None:
    switches.turn(Fault.EVENTS_LATE, remaining=1, seconds=60)
    make_customer()
    now = timezone.now() + timedelta(seconds=61)
    delivery = Delivery.objects.get()
    assert [deliveries.attempt(delivery.pk, now), deliveries.attempt(delivery.pk, now)] == [True, False]
    assert len(listener.received) == 1


@pytest.mark.fault("P7")
def test_lost_events_are_delivered_on_request_only(listener: Listener) -> None:
    switches.turn(Fault.EVENTS_LOST, remaining=1)
    make_customer()
    make_customer("Bea")
    deliveries.wait_until_idle()
    assert len(listener.received) == 1
    call_command("sandbox_deliver", "--lost", verbosity=0)
    assert len(listener.received) == 2


@pytest.mark.fault("P1")
def test_duplicated_events_have_one_id(listener: Listener) -> None:
    switches.turn(Fault.EVENTS_DUPLICATED, remaining=1)
    make_customer()
    deliveries.wait_until_idle()
    assert len(listener.received) == 2
    assert len({json.loads(body)["id"] for _, body in listener.received}) == 1


@pytest.mark.fault("P6")
def test_disordered_events_arrive_in_another_order(listener: Listener) -> None:
    switches.turn(Fault.EVENTS_DISORDERED, remaining=-1, seconds=2)  # longer than it takes to make two
    names = [make_customer(name)["name"] for name in ("Ann", "Bea", "Cleo", "Dora")]
    deliveries.wait_until_idle()
    arrived = [json.loads(body)["data"]["object"]["name"] for _, body in listener.received]
    assert sorted(arrived) == sorted(names)
    assert arrived != names


def test_late_events_are_delayed(listener: Listener) -> None:
    switches.turn(Fault.EVENTS_LATE, remaining=-1, seconds=30)
    make_customer()
    deliveries.wait_until_idle()
    assert listener.received == []
    deliveries.deliver_due(timezone.now() + timedelta(seconds=31))
    assert listener.types == ["customer.created"]


def test_switches_are_set_by_a_command(db: None, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("sandbox_switch", "events_late", "3", "--seconds", "20")
    assert "events_late          on for 3 more (20 s)" in capsys.readouterr().out
    call_command("sandbox_switch", "off")
    assert switches.occurs(Fault.EVENTS_LATE) is None
