"""Events: what happened to an object, with the object as it was then.

Invariant: an event, its deliveries and the change it tells of are one transaction; nothing is sent before
that transaction is committed.
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
OWN_ENDPOINT = "/stripe/webhook/"  # where the product listens (billing owns the path)


def record(type: str, body: Body, call: Call, previous: dict[str, Any] | None = None) -> Body:
    """Keep the event and send it, after commit, to the product and every registered endpoint.

    `previous` holds the former values of the attributes that changed (`*.updated` events).
    """
    data: dict[str, Any] = {"object": store.public(body)}
    if previous is not None:
        data["previous_attributes"] = store.public(previous)
    receivers = endpoints(type)
    event = {
        "id": store.new_id("event"),
        "object": "event",
        "api_version": API_VERSION,
        "created": call.now,
        "data": data,
        "livemode": False,
        "pending_webhooks": len(receivers),
        "request": {"id": call.request_id, "idempotency_key": call.idempotency_key},
        "type": type,
    }
    _send(store.add_row(event), receivers)
    return event


def _send(row: Resource, receivers: list[tuple[str, str]]) -> None:
    now = deliveries.wall_clock()
    state, wait, copies = _spoiled(row)
    due_at = now + timedelta(seconds=wait)
    made = Delivery.objects.bulk_create(
        Delivery(event=row, url=url, secret=secret, state=state, due_at=due_at)
        for url, secret in receivers
        for _ in range(copies)
    )
    if state == Delivery.State.WAITING:
        ids = [delivery.pk for delivery in made]
        transaction.on_commit(lambda: deliveries.send_soon(ids, after=wait))


def _spoiled(row: Resource) -> tuple[str, int, int]:
    """(state, seconds to wait, copies) of an event's deliveries: what the switches make of them."""
    waiting = Delivery.State.WAITING.value
    if not switches.any_on():
        return waiting, 0, 1
    if switches.occurs(Fault.EVENTS_LOST):
        return Delivery.State.LOST.value, 0, 1
    if late := switches.occurs(Fault.EVENTS_LATE):
        return waiting, late.seconds, 1
    if disorder := switches.occurs(Fault.EVENTS_DISORDERED):
        # Every other event is held back, so that the one after it arrives first.
        held_back = Resource.objects.filter(kind="event", position__lte=row.position).count() % 2
        return waiting, disorder.seconds * held_back, 1
    return waiting, 0, 2 if switches.occurs(Fault.EVENTS_DUPLICATED) else 1


def endpoints(event_type: str) -> list[tuple[str, str]]:
    """(address, secret) of everybody who wants events of this type; the product itself always does."""
    found = [(settings.SITE_URL + OWN_ENDPOINT, settings.STRIPE_WEBHOOK_SECRETS[0])]
    for endpoint in store.where("webhook_endpoint", status="enabled"):
        if {"*", event_type} & set(endpoint["enabled_events"]):
            found.append((endpoint["url"], endpoint["_secret"]))
    return found


def retrieve(call: Call) -> Body:
    return store.get("event", call.ids["id"])


def list_events(call: Call) -> Body:
    """Events, newest first; `type` may end in `.*`, `types` lists exact ones."""
    rows = Resource.objects.filter(kind="event")
    if wanted := call.params.get("type"):
        key = "body__type__startswith" if wanted.endswith("*") else "body__type"
        rows = rows.filter(**{key: wanted.rstrip("*")})
    if types := call.params.get("types"):
        rows = rows.filter(body__type__in=types)
    if "delivery_success" in call.params:
        waiting = Delivery.objects.exclude(state=Delivery.State.DELIVERED).values("event")
        chosen = {"pk__in": waiting}
        rows = rows.exclude(**chosen) if call.params["delivery_success"] else rows.filter(**chosen)
    return store.page(store.within(rows, call.params.get("created")), call, "/v1/events")
