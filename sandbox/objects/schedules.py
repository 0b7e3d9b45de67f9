"""Subscription schedules: another price from the end of the period on.

Invariant: a phase takes effect at its start, with the renewal, without proration; a released schedule does
nothing more.
"""

import copy
from typing import Any

from sandbox import errors, store
from sandbox.calls import Call
from sandbox.objects import customers, events, prices, prorations, subscription_states
from sandbox.store import Body


def create(call: Call) -> Body:
    """A schedule around an existing subscription, its first phase what is in force."""
    subscription = store.get("subscription", call.params.get("from_subscription", ""), "from_subscription")
    if subscription["schedule"]:
        raise errors.StripeError("You cannot migrate a subscription that is already attached to a schedule.")
    items = [
        {"price": item["price"]["id"], "quantity": item["quantity"]} for item in subscription["items"]["data"]
    ]
    first = subscription["items"]["data"][0]
    body: Body = {
        "id": store.new_id("subscription_schedule"),
        "object": "subscription_schedule",
        "application": None,
        "billing_mode": {"flexible": None, "type": "classic"},
        "canceled_at": None,
        "completed_at": None,
        "created": call.now,
        "current_phase": {
            "start_date": first["current_period_start"],
            "end_date": first["current_period_end"],
        },
        "customer": subscription["customer"],
        "customer_account": None,
        "default_settings": _default_settings(),
        "end_behavior": "release",
        "livemode": False,
        "metadata": {},
        "pause_schedules": [],
        "phases": [
            _phase(
                {"items": items},
                subscription["currency"],
                first["current_period_start"],
                first["current_period_end"],
            )
        ],
        "released_at": None,
        "released_subscription": None,
        "status": "active",
        "subscription": subscription["id"],
        "test_clock": subscription["test_clock"],
    }
    customers.merge_metadata(body, call.params.get("metadata") or {})
    store.add(body)
    events.record("subscription_schedule.created", body, call)
    subscription_states.change(subscription, call, schedule=body["id"])
    return body


def _default_settings() -> dict[str, Any]:
    return {
        "application_fee_percent": None,
        "automatic_tax": {"disabled_reason": None, "enabled": False, "liability": None},
        "billing_cycle_anchor": "automatic",
        "billing_thresholds": None,
        "collection_method": "charge_automatically",
        "default_payment_method": None,
        "description": None,
        "invoice_settings": {
            "account_tax_ids": None,
            "custom_fields": None,
            "days_until_due": None,
            "description": None,
            "footer": None,
            "issuer": {"type": "self"},
        },
        "on_behalf_of": None,
        "transfer_data": None,
    }


def _phase(given: dict[str, Any], currency: str, start: int, end: int | None) -> dict[str, Any]:
    items = []
    for index, item in enumerate(given["items"]):
        price = prices.price_of(item, Call(now=start), f"phases[items][{index}][price]")
        items.append(
            {
                "billing_thresholds": None,
                "discounts": [],
                "metadata": {},
                "plan": price["id"],
                "price": price["id"],
                "quantity": item.get("quantity", 1),
                "tax_rates": [],
            }
        )
    return {
        "add_invoice_items": [],
        "application_fee_percent": None,
        "billing_cycle_anchor": None,
        "billing_thresholds": None,
        "collection_method": None,
        "currency": currency,
        "default_payment_method": None,
        "default_tax_rates": [],
        "description": None,
        "discounts": [],
        "end_date": end or start,
        "invoice_settings": None,
        "items": items,
        "metadata": given.get("metadata") or {},
        "on_behalf_of": None,
        "proration_behavior": given.get("proration_behavior", "create_prorations"),
        "start_date": start,
        "transfer_data": None,
        "trial_end": None,
    }


def update(call: Call) -> Body:
    """Set the phases anew: the first is in force, the next begins where it ends."""
    body = _open(call)
    subscription = store.get("subscription", body["subscription"])
    if given := call.params.get("phases"):
        phases = []
        at = body["current_phase"]["start_date"]
        for phase in given:
            start = phase["start_date"] if isinstance(phase.get("start_date"), int) else at
            end = phase["end_date"] if isinstance(phase.get("end_date"), int) else None
            phases.append(_phase(phase, subscription["currency"], start, end))
            at = end or start
        body["phases"] = phases
    if call.params.get("end_behavior", "release") != "release":
        raise errors.StripeError("Schedules end by release here.", param="end_behavior", code="sandbox_gap")
    if "metadata" in call.params:
        customers.merge_metadata(body, call.params["metadata"])
    store.save(body)
    events.record("subscription_schedule.updated", body, call, {})
    return body


def items_due(subscription: Body, call: Call) -> list[Body] | None:
    """The items of the phase that begins with this renewal, or None. The last phase releases the schedule."""
    body = store.find("subscription_schedule", subscription["schedule"])
    if body is None or body["status"] != "active":
        return None
    begun = [phase for phase in body["phases"] if phase["start_date"] <= call.now]
    current, last = begun[-1], len(begun) == len(body["phases"])
    items = copy.deepcopy(subscription["items"]["data"])
    wanted = [
        {"id": items[0]["id"]} | {name: line[name] for name in ("price", "quantity")}
        for line in current["items"][:1]
    ]
    change = prorations.change(subscription, wanted, call, at=call.now, behaviour="none", anchor_now=False)
    body["current_phase"] = {"start_date": current["start_date"], "end_date": current["end_date"]}
    if last:
        body |= {
            "status": "released",
            "released_at": call.now,
            "released_subscription": subscription["id"],
            "subscription": None,
        }
        subscription["schedule"] = None
        store.save(subscription)
    store.save(body)
    events.record("subscription_schedule.released" if last else "subscription_schedule.updated", body, call)
    return change.items


def _open(call: Call) -> Body:
    body = retrieve(call)
    if body["status"] not in ("active", "not_started"):
        raise errors.StripeError(f"You cannot change a subscription schedule that is {body['status']}.")
    return body


def release(call: Call) -> Body:
    body = _open(call)
    return _finish(
        body, call, status="released", released_at=call.now, released_subscription=body["subscription"]
    )


def cancel(call: Call) -> Body:
    """Cancel the schedule and, with it, its subscription."""
    body = _open(call)
    subscription = store.get("subscription", body["subscription"])
    _finish(body, call, status="canceled", canceled_at=call.now)
    subscription_states.end(
        store.get("subscription", subscription["id"]), call, reason="cancellation_requested"
    )
    return body


def _finish(body: Body, call: Call, **fields: Any) -> Body:
    subscription = store.get("subscription", body["subscription"])
    body |= fields
    if body["status"] == "released":
        body["subscription"] = None
    store.save(body)
    events.record(f"subscription_schedule.{body['status']}", body, call)
    subscription_states.change(subscription, call, schedule=None)
    return body


def retrieve(call: Call) -> Body:
    return store.get("subscription_schedule", call.ids["schedule"])


def list_schedules(call: Call) -> Body:
    return store.listing(
        "subscription_schedule", call, "/v1/subscription_schedules", customer=call.params.get("customer")
    )
