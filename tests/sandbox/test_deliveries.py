"""Events on their way to webhook endpoints: signed, after commit, tried again, and spoiled on demand."""

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
from sandbox.objects import customers, deliveries, events
from sandbox.switches import Fault


class Listener:
    """A webhook endpoint that remembers what it got; `answers` are its next status codes (200 after them)."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.answers: list[int] = []
        listener = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                listener.got.append((dict(self.headers), body))
                self.send_response(listener.answers.pop(0) if listener.answers else 200)
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
        return [json.loads(body)["type"] for _, body in self.got]


@pytest.fixture
def listener(transactional_db: None, settings: Any) -> Iterator[Listener]:
    """Stands where the portal would be: the sandbox sends its events here."""
    found = Listener()
    settings.SITE_URL = found.url
    yield found
    deliveries.wait_until_idle()
    found.server.shutdown()
    found.server.server_close()


def make_customer(name: str = "Ann") -> Any:
    with transaction.atomic():
        return customers.new(calls.by_page(timezone.now()), name=name)


def test_an_event_arrives_signed_and_soon(listener: Listener) -> None:
    make_customer()
    deliveries.wait_until_idle()
    headers, body = listener.got[0]
    event = stripe.Webhook.construct_event(body, headers["Stripe-Signature"], "whsec_sandbox")  # type: ignore[no-untyped-call]
    assert (event.type, event.data.object.name) == ("customer.created", "Ann")
    assert Delivery.objects.get().state == Delivery.State.DELIVERED


def test_nothing_is_sent_before_the_commit_nor_after_a_rollback(listener: Listener) -> None:
    with transaction.atomic():
        customers.new(calls.by_page(timezone.now()))
        time.sleep(0.1)
        assert listener.got == []
        transaction.set_rollback(True)
    deliveries.wait_until_idle()
    assert listener.got == []


def test_a_refused_event_is_tried_again_later(clock: object, listener: Listener) -> None:
    listener.answers = [500, 302]
    make_customer()
    deliveries.wait_until_idle()
    delivery = Delivery.objects.get()
    assert (delivery.state, delivery.last_status, delivery.attempts) == (Delivery.State.WAITING, 500, 1)
    assert deliveries.deliver_due(timezone.now()) == 0
    assert deliveries.deliver_due(timezone.now() + timedelta(seconds=3)) == 1
    assert deliveries.deliver_due(timezone.now() + timedelta(seconds=30)) == 1
    delivery.refresh_from_db()
    assert (delivery.state, delivery.attempts) == (Delivery.State.DELIVERED, 3)


def test_it_gives_up_in_the_end_and_can_be_sent_again(listener: Listener) -> None:
    listener.answers = [500] * 20
    make_customer()
    deliveries.wait_until_idle()
    for day in range(1, 20):
        deliveries.deliver_due(timezone.now() + timedelta(days=day))
    delivery = Delivery.objects.select_related("event").get()
    assert delivery.state == Delivery.State.GIVEN_UP
    listener.answers = []
    deliveries.redeliver(delivery.event.stripe_id, timezone.now())
    deliveries.wait_until_idle()
    delivery.refresh_from_db()
    assert delivery.state == Delivery.State.DELIVERED


def test_an_endpoint_that_is_not_there_is_tried_again(listener: Listener, settings: Any) -> None:
    settings.SITE_URL = "http://127.0.0.1:9"
    make_customer()
    deliveries.wait_until_idle()
    delivery = Delivery.objects.get()
    assert (delivery.state, delivery.last_status) == (Delivery.State.WAITING, None)
    assert "refused" in delivery.last_answer


def test_two_couriers_send_one_try_once(listener: Listener) -> None:
    switches.turn(Fault.EVENTS_LATE, remaining=1, seconds=60)
    make_customer()
    now = timezone.now() + timedelta(seconds=61)
    delivery = Delivery.objects.get()
    assert [deliveries.attempt(delivery.pk, now), deliveries.attempt(delivery.pk, now)] == [True, False]
    assert len(listener.got) == 1


@pytest.mark.fault("P7")
def test_lost_events_never_arrive_until_somebody_asks(listener: Listener) -> None:
    switches.turn(Fault.EVENTS_LOST, remaining=1)
    make_customer()
    make_customer("Bea")
    deliveries.wait_until_idle()
    assert len(listener.got) == 1
    call_command("sandbox_deliver", "--lost", verbosity=0)
    assert len(listener.got) == 2


@pytest.mark.fault("P1")
def test_duplicated_events_arrive_twice_with_one_id(listener: Listener) -> None:
    switches.turn(Fault.EVENTS_DUPLICATED, remaining=1)
    make_customer()
    deliveries.wait_until_idle()
    assert len(listener.got) == 2
    assert len({json.loads(body)["id"] for _, body in listener.got}) == 1


@pytest.mark.fault("P6")
def test_disordered_events_overtake_each_other(listener: Listener) -> None:
    switches.turn(Fault.EVENTS_DISORDERED, remaining=-1, seconds=1)
    names = [make_customer(name)["name"] for name in ("Ann", "Bea", "Cleo", "Dora")]
    deliveries.wait_until_idle()
    arrived = [json.loads(body)["data"]["object"]["name"] for _, body in listener.got]
    assert sorted(arrived) == sorted(names)
    assert arrived != names


def test_late_events_wait_for_their_time(listener: Listener) -> None:
    switches.turn(Fault.EVENTS_LATE, remaining=-1, seconds=30)
    make_customer()
    deliveries.wait_until_idle()
    assert listener.got == []
    deliveries.deliver_due(timezone.now() + timedelta(seconds=31))
    assert listener.types == ["customer.created"]


def test_a_registered_endpoint_gets_what_it_asked_for_signed_with_its_own_secret(listener: Listener) -> None:
    from sandbox.objects import webhook_endpoints

    params = {"url": f"{listener.url}/other", "enabled_events": ["customer.updated"]}
    with transaction.atomic():
        call = calls.by_page(timezone.now()).asking(**params)
        secret = webhook_endpoints.create(call)["secret"]
    made = make_customer()
    with transaction.atomic():
        events.record("customer.updated", made, calls.by_page(timezone.now()), {"name": None})
    deliveries.wait_until_idle()
    assert sorted(listener.types) == ["customer.created", "customer.updated", "customer.updated"]
    signed = [
        headers["Stripe-Signature"]
        == deliveries.signature(body, secret, int(headers["Stripe-Signature"][2:12]))
        for headers, body in listener.got
    ]
    assert signed.count(True) == 1


def test_the_switches_can_be_turned_from_the_command_line(
    db: None, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("sandbox_switch", "events_late", "3", "--seconds", "20")
    assert "events_late          on for 3 more (20 s)" in capsys.readouterr().out
    call_command("sandbox_switch", "off")
    assert switches.occurs(Fault.EVENTS_LATE) is None
