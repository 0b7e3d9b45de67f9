"""The Checkout of a plan: its payment is applied, or shown as pending, or failed.

Invariants: only objects retrieved now are applied, so that events of a session in any order end in the same
state; the subscription is locked before the purchase (docs/decisions/0070); a plan whose payment is pending
grants nothing.
"""

from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from billing import stripe_gateway
from billing.models import Purchase, Subscription
from billing.payments import fulfilment, taxes
from billing.stripe_gateway import StripeObject
from billing.subscriptions import invoices, lifecycle, stripe_sync, surplus

FAILED_PAYMENT = {"requires_payment_method", "canceled"}  # statuses of an intent that is not pending any more


@dataclass(frozen=True, kw_only=True)
class PlanCheckout:
    """A session in subscription mode with its subscription and first invoice, as they are at Stripe now."""

    session: StripeObject
    snapshot: stripe_sync.Snapshot | None = None
    invoice: StripeObject | None = None
    method: str = ""  # type of the payment method of a pending payment


def fetch(session_id: str) -> PlanCheckout:
    """Retrieve a plan's session and what it created. Raises stripe_gateway's errors."""
    session = stripe_gateway.retrieve_checkout_session(session_id)
    if not session.get("subscription") or not session.get("invoice"):
        return PlanCheckout(session=session)
    snapshot = stripe_sync.fetch_snapshot(str(session["subscription"]))
    invoice = stripe_gateway.retrieve_invoice(str(session["invoice"]))
    method_id = _intent(invoice).get("payment_method") if invoice.get("status") == "open" else None
    method = str(stripe_gateway.retrieve_payment_method(str(method_id))["type"]) if method_id else ""
    return PlanCheckout(session=session, snapshot=snapshot, invoice=invoice, method=method)


def synchronize(purchase: Purchase, now: datetime) -> None:
    """Retrieve the session of a plan's purchase and apply it, again while our subscription changes meanwhile.

    Raises stripe_gateway's errors, stripe_sync.StaleSnapshot, UnmatchedObject, offers.PlanClosed.
    """
    for last_attempt in (False, False, True):
        try:
            return apply(purchase, fetch(str(purchase.stripe_session_id)), now)
        except stripe_sync.StaleSnapshot:
            if last_attempt:
                raise


def apply(purchase: Purchase, fetched: PlanCheckout, now: datetime) -> None:
    """Bring a plan's purchase and the account's subscription to the state of the session. Idempotent.

    Raises stripe_sync.StaleSnapshot, UnmatchedObject, offers.PlanClosed.
    """
    with transaction.atomic():
        if fetched.snapshot is None or fetched.invoice is None:
            if fetched.session.get("status") == "expired":
                fulfilment.mark_cancelled(purchase.pk, now)
            return
        subscription_id = str(fetched.snapshot.payload["id"])
        lifecycle.lock_subscription(purchase.account_id)
        Purchase.objects.filter(pk=purchase.pk).update(stripe_subscription_id=subscription_id)
        stripe_sync.apply_fetched(fetched.snapshot, now)
        if fetched.invoice.get("status") == "paid":
            invoices.record_paid_invoice(fetched.invoice, fetched.snapshot.payload, now)
        elif _intent(fetched.invoice).get("status") in FAILED_PAYMENT:
            _apply_failure(purchase, subscription_id, now)
        else:
            tax = taxes.of_invoice(fetched.invoice)
            fulfilment.mark_pending(purchase.pk, method=fetched.method, now=now, tax=tax)


def _apply_failure(purchase: Purchase, subscription_id: str, now: datetime) -> None:
    """The first payment failed after the session was completed: the account can buy again.

    Stripe would charge the subscription's invoice again for days, so it is cancelled.
    """
    if Subscription.objects.filter(stripe_subscription_id=subscription_id).exists():
        return
    fulfilment.mark_failed(purchase.pk, reason=fulfilment.REFUSED_OR_MISSING, now=now)
    surplus.record(purchase.account_id, subscription_id, reason=surplus.Reason.PAYMENT_FAILED, now=now)


def _intent(invoice: StripeObject) -> StripeObject:
    """The PaymentIntent of an invoice; empty when there is none."""
    for payment in (invoice.get("payments") or {}).get("data") or []:
        intent = (payment.get("payment") or {}).get("payment_intent")
        if isinstance(intent, dict):
            return intent
    return {}
