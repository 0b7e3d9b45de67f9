"""Events: what happened to an object, with the object as it was then.

Invariant: an event, its deliveries and the change it tells of are one transaction; nothing is sent before
that transaction is committed.
"""

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from stripe._api_version import _ApiVersion

from sandbox import deliveries, store, switches
from sandbox.calls import Call
from sandbox.models import Delivery, Resource
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
    event = {
        "id": store.new_id("event"),
        "object": "event",
        "api_version": API_VERSION,
        "created": call.now,
        "data": data,
        "livemode": False,
        "pending_webhooks": 0,
        "request": {"id": call.request_id, "idempotency_key": call.idempotency_key},
        "type": type,
    }
    store.add(event)
    _send(event, call)
    return event


def _send(event: Body, call: Call) -> None:
    row = Resource.objects.get(stripe_id=event["id"])
    now = deliveries.wall_clock()
    state, due_at = Delivery.State.WAITING, now
    copies = 1
    if switches.occurs(Fault.EVENTS_LOST):
        state = Delivery.State.LOST
    elif late := switches.occurs(Fault.EVENTS_LATE):
        due_at = now + timedelta(seconds=late.seconds)
    elif disorder := switches.occurs(Fault.EVENTS_DISORDERED):
        # Every other event is held back, so that the one after it arrives first.
        held_back = Resource.objects.filter(kind="event").count() % 2
        due_at = now + timedelta(seconds=disorder.seconds * held_back)
    elif switches.occurs(Fault.EVENTS_DUPLICATED):
        copies = 2
    made = [
        Delivery.objects.create(event=row, url=url, secret=secret, state=state, due_at=due_at)
        for url, secret in endpoints(event["type"])
        for _ in range(copies)
    ]
    event["pending_webhooks"] = len(made)
    store.save(event)
    if state == Delivery.State.WAITING:
        ids = [delivery.pk for delivery in made]
        transaction.on_commit(lambda: deliveries.send_soon(ids, after=(due_at - now).total_seconds()))


def endpoints(event_type: str) -> list[tuple[str, str]]:
    """(address, secret) of everybody who wants events of this type; the product itself always does."""
    found = [(settings.SITE_URL + OWN_ENDPOINT, settings.STRIPE_WEBHOOK_SECRETS[0])]
    for endpoint in store.where("webhook_endpoint", status="enabled"):
        if {"*", event_type} & set(endpoint["enabled_events"]):
            secret = Resource.objects.get(stripe_id=endpoint["id"]).body["_secret"]
            found.append((endpoint["url"], secret))
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
