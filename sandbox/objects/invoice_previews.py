"""What the next invoice would be: after a change of a subscription, or simply at its renewal.

Invariant: a preview changes nothing, and shows what sandbox.objects.prorations will charge.
"""

import copy
from typing import Any

from sandbox import errors, store
from sandbox.calls import Call
from sandbox.objects import clocks, invoice_bodies, invoice_items, invoice_lines, periods, prorations
from sandbox.store import Body


def create(call: Call) -> Body:
    given = call.params
    subscription = (
        store.get("subscription", given["subscription"], "subscription")
        if given.get("subscription")
        else None
    )
    customer_id = given.get("customer") or (subscription or {}).get("customer")
    if not customer_id:
        raise errors.missing("customer")
    customer = store.get("customer", customer_id, "customer")
    call = clocks.of_customer(call, customer)
    details = given.get("subscription_details") or {}
    if subscription is None:
        subscription, lines = _new_subscription(details, customer, call)
    else:
        lines = _lines(subscription, details, call)
    body = invoice_bodies.blank(
        call,
        customer,
        lines=lines,
        currency=subscription["currency"],
        reason="upcoming" if not details.get("items") else "subscription_update",
        subscription=subscription if subscription.get("object") else None,
        invoice_id=f"upcoming_in_{store.random_text(24)}",
    )
    if body["parent"] and details.get("proration_date"):
        body["parent"]["subscription_details"]["subscription_proration_date"] = details["proration_date"]
    return body


def _lines(subscription: Body, details: dict[str, Any], call: Call) -> list[Body]:
    behaviour = details.get("proration_behavior", "create_prorations")
    at = details.get("proration_date", call.now)
    anchor_now = prorations.anchored_now(details)
    if not details.get("items") and not anchor_now:
        return _renewal(subscription, subscription["items"]["data"])
    change = prorations.change(
        subscription, details.get("items") or [], call, at=at, behaviour=behaviour, anchor_now=anchor_now
    )
    if behaviour == "always_invoice" or change.restarts:
        return change.lines
    return change.lines + _renewal(subscription, change.items)


def _renewal(subscription: Body, items: list[Body]) -> list[Body]:
    lines = invoice_items.waiting(subscription["customer"], subscription["id"])
    if subscription["cancel_at_period_end"]:
        return lines
    for item in copy.deepcopy(items):
        start = item["current_period_end"]
        item["current_period_start"], item["current_period_end"] = periods.period_at(
            subscription["billing_cycle_anchor"], item["price"]["recurring"], start
        )
        lines.append(invoice_lines.of_period(item))
    return lines


def _new_subscription(details: dict[str, Any], customer: Body, call: Call) -> tuple[Body, list[Body]]:
    """What a subscription that does not exist yet would cost first."""
    if not details.get("items"):
        raise errors.missing("subscription_details[items]")
    imagined = {"id": "sub_imagined", "billing_cycle_anchor": call.now, "customer": customer["id"]}
    items = [prorations.new_item(item, index, call, imagined) for index, item in enumerate(details["items"])]
    currency = items[0]["price"]["currency"]
    return imagined | {"currency": currency}, [invoice_lines.of_period(item) for item in items]
