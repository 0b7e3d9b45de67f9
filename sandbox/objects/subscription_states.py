"""Status changes of subscriptions, driven by the payment of their invoices.

Invariant: every change is recorded as an event that carries the previous values.
https://docs.stripe.com/billing/subscriptions/overview
"""

import copy
from typing import Any

from sandbox import store
from sandbox.calls import Call
from sandbox.objects import events
from sandbox.store import Body

ENDED = ("canceled", "incomplete_expired")


def change(subscription: Body, call: Call, **fields: Any) -> Body:
    """Set these fields, save, and record customer.subscription.updated if a value differs."""
    previous = {name: copy.deepcopy(subscription.get(name)) for name in fields}
    subscription |= fields
    store.save(subscription)
    previous = {name: value for name, value in previous.items() if subscription[name] != value}
    if previous:
        events.record("customer.subscription.updated", subscription, call, previous)
    return subscription


def schedule_cancellation(subscription: Body, call: Call, *, cancel: bool) -> Body:
    """Cancel at the end of the period, or revoke that."""
    period_end = min(item["current_period_end"] for item in subscription["items"]["data"])
    return change(
        subscription,
        call,
        cancel_at_period_end=cancel,
        cancel_at=period_end if cancel else None,
        canceled_at=call.now if cancel else None,
        cancellation_details={
            "comment": None,
            "feedback": None,
            "reason": "cancellation_requested" if cancel else None,
        },
    )


def end(subscription: Body, call: Call, *, reason: str) -> Body:
    """End the subscription: canceled, or incomplete_expired when its first invoice was never paid."""
    never_paid = subscription["status"] == "incomplete" and reason == "payment_failed"
    subscription |= {
        "status": "incomplete_expired" if never_paid else "canceled",
        "canceled_at": subscription["canceled_at"] or call.now,
        "ended_at": call.now,
        "cancellation_details": subscription["cancellation_details"] | {"reason": reason},
    }
    store.save(subscription)
    events.record("customer.subscription.deleted", subscription, call)
    return subscription


def invoice_paid(subscription: Body, invoice: Body, call: Call) -> None:
    """The subscription is active once its latest finalized invoice is paid."""
    if subscription["status"] in ("incomplete", "past_due", "unpaid") and _is_latest(invoice):
        change(subscription, call, status="active")


def payment_begun(subscription: Body, call: Call) -> None:
    """A delayed payment of the first invoice is confirmed: the subscription is active before it is paid.

    https://docs.stripe.com/api/subscriptions/create#create_subscription-payment_behavior
    """
    if subscription["status"] == "incomplete":
        change(subscription, call, status="active")


def invoice_unpaid(subscription: Body, invoice: Body, call: Call) -> None:
    """The subscription is past due when its latest finalized invoice cannot be paid."""
    if subscription["status"] == "active" and _is_latest(invoice):
        change(subscription, call, status="past_due")


def _is_latest(invoice: Body) -> bool:
    """Whether no invoice of the subscription was finalized after this one.

    https://docs.stripe.com/billing/subscriptions/overview#subscription-statuses
    """
    subscription = invoice["parent"]["subscription_details"]["subscription"]
    others = store.where("invoice", parent__subscription_details__subscription=subscription)
    finalized_at = invoice["status_transitions"]["finalized_at"]
    return all((other["status_transitions"]["finalized_at"] or 0) <= finalized_at for other in others)
