"""Until when a subscription is paid, read from its invoices.

Invariant: a period is paid when an invoice that charges for it is paid and no renewal is owed, whichever of
its invoices is the latest.
"""

from datetime import datetime

from billing.models import Subscription
from billing.stripe_gateway import StripeObject
from billing.subscriptions import stripe_objects
from billing.subscriptions.stripe_objects import StripeSubscription


def needs_invoices(payload: StripeObject, paid_until: datetime | None) -> bool:
    """Whether the latest invoice alone does not tell what is paid, because a renewal is not recorded here.

    Stripe makes the invoice of a change beside the renewal's, which may still be a draft, and it is then the
    latest (https://docs.stripe.com/api/subscriptions/object#subscription_object-latest_invoice).
    """
    invoice = payload.get("latest_invoice")
    if isinstance(invoice, dict) and payload.get("status") in {"past_due", "unpaid"}:
        return invoice.get("status") in {"paid", "draft"}
    if not isinstance(invoice, dict) or payload.get("status") != "active":
        return False
    period_start = stripe_objects.period_start(payload)
    if invoice.get("billing_reason") == "subscription_update":
        return paid_until is None or paid_until <= period_start
    if invoice.get("status") == "paid" or invoice.get("billing_reason") == "subscription_create":
        return False
    return paid_until is None or paid_until < period_start


def paid_until(
    subscription: Subscription, remote: StripeSubscription, invoices: list[StripeObject] | None
) -> datetime | None:
    """The end of the current period once it is paid, before that the end of the last paid one.

    A renewal's invoice stays a draft for about an hour while the subscription is already active
    (https://docs.stripe.com/billing/invoices/subscription).
    """
    if remote.pause_behavior in {"keep_as_draft", "mark_uncollectible"}:
        # The service goes on: https://docs.stripe.com/billing/subscriptions/pause-payment
        return remote.period_end
    same = subscription.stripe_subscription_id == remote.id
    paid = remote.invoice.get("status") == "paid"
    if invoices is not None:
        paid = _is_paid(remote, invoices)
    if paid or remote.status == "trialing":
        return remote.period_end
    ends = [stripe_objects.last_period_end(item) for item in invoices or () if item.get("status") == "paid"]
    before = [end for end in ends if end is not None and end <= remote.period_start]
    if same and subscription.paid_until is not None:
        before.append(subscription.paid_until)
    return max(before, default=None)


def is_skipped(remote: StripeSubscription) -> bool:
    """Whether nothing is owed for the current period, because a pause or staff voided its invoice."""
    renewal = remote.invoice.get("billing_reason") == "subscription_cycle"
    return renewal and remote.invoice.get("status") == "void"


def _is_paid(remote: StripeSubscription, invoices: list[StripeObject]) -> bool:
    """Whether an invoice of the current period is paid and no renewal is owed.

    `invoices` are listed newest first. A void invoice is not owed
    (https://docs.stripe.com/invoicing/overview#void).
    """
    renewals = (item for item in invoices if item.get("billing_reason") == "subscription_cycle")
    renewal = next(renewals, None)
    if renewal is not None and renewal.get("status") in {"draft", "open", "uncollectible"}:  # it is owed
        return False
    return any(
        invoice.get("status") == "paid" and stripe_objects.last_period_end(invoice) == remote.period_end
        for invoice in invoices
    )
