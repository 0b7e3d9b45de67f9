"""Pending updates: changes of a subscription that apply when the invoice of the change is paid.

Invariant: a subscription has at most one pending update, and a pending update belongs to one open invoice:
paying that applies it, voiding it discards it. https://docs.stripe.com/billing/subscriptions/pending-updates
and https://docs.stripe.com/billing/subscriptions/pending-updates-reference
"""

from typing import Any

from sandbox import errors, store
from sandbox.calls import Call
from sandbox.objects import events, subscription_states
from sandbox.store import Body

MOST_SECONDS = 23 * 3600
# `metadata` since https://docs.stripe.com/changelog/dahlia/2026-05-27/pending-subscription-update-metadata,
# `cancel_at_period_end` since
# https://docs.stripe.com/changelog/endive/2026-09-30/scheduled-subscription-cancellation
SUPPORTED = {
    *("expand", "payment_behavior", "proration_behavior", "proration_date", "billing_cycle_anchor", "items"),
    *("cancel_at_period_end", "metadata"),
}


def check(params: dict[str, Any]) -> None:
    """Raise StripeError for a parameter that pending updates do not support."""
    for name in params:
        if name not in SUPPORTED:
            raise errors.StripeError(
                "When `payment_behavior` is set to `pending_if_incomplete`, you can only pass supported "
                f"params. `{name}` is not supported.",
                param=name,
            )


def begin(subscription: Body, call: Call, *, items: list[Body], restarts: bool, invoice: Body) -> None:
    """Store a change that waits for its invoice; the caller records the event if it stays unpaid."""
    period_end = min(item["current_period_end"] for item in subscription["items"]["data"])
    subscription |= {
        "_pending_invoice": invoice["id"],
        "latest_invoice": invoice["id"],
        "pending_update": {
            "billing_cycle_anchor": call.now if restarts else None,
            "cancel_at_period_end": call.params.get("cancel_at_period_end"),
            "discount": None,
            "discounts": None,
            "expires_at": min(period_end, call.now + MOST_SECONDS),
            "metadata": call.params.get("metadata"),
            "subscription_items": items,
            "trial_end": None,
            "trial_from_plan": None,
        },
    }
    store.save(subscription)


def apply(subscription: Body, invoice: Body, call: Call) -> None:
    """Apply the update that waited for this invoice, if there is one."""
    pending = subscription["pending_update"]
    if pending is None or subscription["_pending_invoice"] != invoice["id"]:
        return
    fields: dict[str, Any] = {
        "items": subscription["items"] | {"data": pending["subscription_items"]},
        "pending_update": None,
        "_pending_invoice": None,
    }
    if pending["billing_cycle_anchor"]:
        fields["billing_cycle_anchor"] = pending["billing_cycle_anchor"]
    if pending["metadata"]:
        merged = {"metadata": dict(subscription["metadata"])}
        store.merge_metadata(merged, pending["metadata"])
        fields |= merged
    subscription_states.change(subscription, call, **fields)
    if pending["cancel_at_period_end"] is not None:
        subscription_states.schedule_cancellation(subscription, call, cancel=pending["cancel_at_period_end"])
    if subscription.get("_pending_recorded"):
        events.record("customer.subscription.pending_update_applied", subscription, call)


def record(subscription: Body, call: Call) -> None:
    """Record that the update waits for its payment."""
    subscription["_pending_recorded"] = True
    store.save(subscription)
    events.record("customer.subscription.updated", subscription, call, {"pending_update": None})


def discard(subscription: Body, invoice: Body, call: Call) -> None:
    """Discard the update that waits for this invoice, which is void."""
    if subscription["pending_update"] and subscription["_pending_invoice"] == invoice["id"]:
        subscription_states.change(subscription, call, pending_update=None, _pending_invoice=None)
        events.record("customer.subscription.pending_update_expired", subscription, call)
