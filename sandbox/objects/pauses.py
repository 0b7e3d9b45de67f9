"""Paused collection: what becomes of the invoices of a subscription while it is paused.

Invariant: the status and the periods of the subscription go on; an invoice created before the pause is
collected as usual. https://docs.stripe.com/billing/subscriptions/pause-payment
"""

from typing import Any

from sandbox import errors, store
from sandbox.calls import Call
from sandbox.objects import events, subscription_states
from sandbox.store import Body


def change(subscription: Body, pause: dict[str, Any] | str, call: Call) -> None:
    """Pause collection as `pause` says, or end the pause where it is empty."""
    if not pause:
        subscription_states.change(subscription, call, pause_collection=None)
        return
    assert isinstance(pause, dict)
    resumes_at = pause.get("resumes_at")
    if resumes_at is not None and resumes_at <= call.now:
        raise errors.StripeError("resumes_at must be in the future.", param="pause_collection[resumes_at]")
    paused = {"behavior": pause["behavior"], "resumes_at": resumes_at}
    subscription_states.change(subscription, call, pause_collection=paused)


def resume(subscription: Body, call: Call) -> None:
    """End the pause at the time that was set."""
    subscription_states.change(subscription, call, pause_collection=None)


def apply_to(invoice: Body, subscription: Body, call: Call) -> None:
    """Treat the draft of a renewal as the pause says, if collection is paused.

    A void invoice does not use the customer's balance.
    """
    pause = subscription["pause_collection"]
    if not pause:
        return
    invoice |= {"auto_advance": False, "automatically_finalizes_at": None}
    if pause["behavior"] == "void":
        invoice["status"] = "void"
        invoice["status_transitions"]["voided_at"] = call.now
    elif pause["behavior"] == "mark_uncollectible":
        invoice["status"] = "uncollectible"
        invoice["status_transitions"]["marked_uncollectible_at"] = call.now
    store.save(invoice)
    recorded = {"void": "invoice.voided", "uncollectible": "invoice.marked_uncollectible"}
    if invoice["status"] in recorded:
        events.record(recorded[invoice["status"]], invoice, call)
