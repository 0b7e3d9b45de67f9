"""The API's actions on invoices: list, finalize, mark as uncollectible.

Invariant: an uncollectible invoice is not charged by itself; the subscription's status stays.
https://docs.stripe.com/invoicing/integration/workflow-transitions
"""

from sandbox import errors, store
from sandbox.calls import Call
from sandbox.objects import clocks, events, invoices
from sandbox.store import Body


def list_invoices(call: Call) -> Body:
    """https://docs.stripe.com/api/invoices/list"""
    filters = {name: call.params.get(name) for name in ("customer", "status")}
    if subscription := call.params.get("subscription"):
        filters["parent__subscription_details__subscription"] = subscription
    return store.listing("invoice", call, "/v1/invoices", **filters)


def finalize(call: Call) -> Body:
    """Finalize a draft before its time. https://docs.stripe.com/api/invoices/finalize"""
    body = store.get("invoice", call.ids["invoice"])
    return invoices.finalize(body, clocks.of_customer(call, body["customer"]))


def mark_uncollectible(call: Call) -> Body:
    """https://docs.stripe.com/api/invoices/mark_uncollectible"""
    body = store.get("invoice", call.ids["invoice"])
    if body["status"] != "open":
        raise errors.StripeError("You can only mark open invoices as uncollectible.")
    call = clocks.of_customer(call, body["customer"])
    body |= {"status": "uncollectible", "next_payment_attempt": None, "auto_advance": False}
    body["status_transitions"]["marked_uncollectible_at"] = call.now
    store.save(body)
    events.record("invoice.marked_uncollectible", body, call)
    return body
