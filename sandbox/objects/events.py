"""Events: what happened to an object, with the object as it was then, delivered to the product's webhook.

Invariant: an event, its delivery and the change it describes are committed together; nothing is sent before
the commit. https://docs.stripe.com/api/events
"""

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from stripe._api_version import _ApiVersion

from sandbox import store, switches
from sandbox.calls import Call
from sandbox.models import Delivery, Resource
from sandbox.objects import deliveries
from sandbox.store import Body
from sandbox.switches import Fault

API_VERSION = _ApiVersion.CURRENT
WEBHOOK_PATH = "/stripe/webhook/"  # billing's webhook endpoint


def record(type: str, body: Body, call: Call, previous: dict[str, Any] | None = None) -> Body:
    """Store the event, and send it to the product after the commit.

    `previous` holds the former values of the attributes that changed (`*.updated` events).
    """
    data: dict[str, Any] = {"object": store.public(body)}
    if previous is not None:
        data["previous_attributes"] = store.public(previous)
    event = {
        "id": store.new_id("event"),
        "object": "event",
        "api_version": API_VERSION,
        "created": call.now,
        "data": data,
        "livemode": False,
        "pending_webhooks": 1,
        "request": {"id": call.request_id, "idempotency_key": call.idempotency_key},
        "type": type,
    }
    _send(store.add_row(event))
    return event


def _send(event: int) -> None:
    """Record the delivery of the event at this position."""
    state, delay, copies = _with_faults(event)
    due_at = deliveries.wall_clock() + timedelta(seconds=delay)
    created = Delivery.objects.bulk_create(
        Delivery(
            event_id=event,
            url=settings.SITE_URL + WEBHOOK_PATH,
            secret=settings.STRIPE_WEBHOOK_SECRETS[0],
            state=state,
            due_at=due_at,
        )
        for _ in range(copies)
    )
    if state == Delivery.State.WAITING:
        ids = [delivery.pk for delivery in created]
        transaction.on_commit(lambda: deliveries.send_soon(ids, after=delay))


def _with_faults(event: int) -> tuple[str, int, int]:
    """(state, seconds of delay, number of copies) of an event's delivery, after the switched-on faults."""
    waiting = Delivery.State.WAITING.value
    if not switches.switched_on():
        return waiting, 0, 1
    if switches.occurs(Fault.EVENTS_LOST):
        return Delivery.State.LOST.value, 0, 1
    if late := switches.occurs(Fault.EVENTS_LATE):
        return waiting, late.seconds, 1
    if disorder := switches.occurs(Fault.EVENTS_DISORDERED):
        # Every second event is delayed, so that the event after it arrives first.
        delayed = Resource.objects.filter(kind="event", position__lte=event).count() % 2
        return waiting, disorder.seconds * delayed, 1
    return waiting, 0, 2 if switches.occurs(Fault.EVENTS_DUPLICATED) else 1


def list_events(call: Call) -> Body:
    return store.listing("event", call, "/v1/events")
