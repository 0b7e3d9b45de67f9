"""A subscription's status, as its invoices are paid or not.

Invariant: every change of a subscription is told in an event that carries the former values.
"""

import copy
from typing import Any

from sandbox import store
from sandbox.calls import Call
from sandbox.objects import events
from sandbox.store import Body

OVER = ("canceled", "incomplete_expired")


def change(subscription: Body, call: Call, **fields: Any) -> Body:
    """Set these fields, save, and record customer.subscription.updated when something differs."""
    previous = {name: copy.deepcopy(subscription.get(name)) for name in fields if not name.startswith("_")}
    subscription |= fields
    store.save(subscription)
    previous = {name: value for name, value in previous.items() if subscription[name] != value}
    if previous:
        events.record("customer.subscription.updated", subscription, call, previous)
    return subscription


def end(subscription: Body, call: Call, *, reason: str) -> Body:
    """The subscription is over: canceled, or incomplete_expired when it never began."""
    details = subscription["cancellation_details"] | {"reason": reason}
    never_began = subscription["status"] == "incomplete" and reason == "payment_failed"
    subscription |= {
        "status": "incomplete_expired" if never_began else "canceled",
        "canceled_at": subscription["canceled_at"] or call.now,
        "ended_at": call.now,
        "cancellation_details": details,
        "_pending": None,
        "pending_update": None,
    }
    store.save(subscription)
    events.record("customer.subscription.deleted", subscription, call)
    return subscription


def paid(subscription: Body, invoice: Body, call: Call) -> None:
    """An invoice was paid: the subscription is active, and a change that waited for this takes effect."""
    fields: dict[str, Any] = {}
    if subscription["status"] in ("incomplete", "past_due", "unpaid"):
        fields["status"] = "active"
    pending = subscription.get("_pending")
    if pending and pending["invoice"] == invoice["id"]:
        fields |= pending["fields"] | {"pending_update": None, "_pending": None}
    if fields:
        change(subscription, call, **fields)


def unpaid(subscription: Body, call: Call) -> None:
    """An invoice of the subscription was not paid."""
    if subscription["status"] == "active":
        change(subscription, call, status="past_due")
