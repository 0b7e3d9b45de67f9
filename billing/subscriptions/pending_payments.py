"""Changes of plan that wait for their payment: only those whose bank requires authentication wait.

Invariant: a change whose payment was declined is dropped at once, one that waits for the cardholder until
Stripe discards it, at most 23 hours later (https://docs.stripe.com/billing/subscriptions/pending-updates).
"""

from datetime import datetime

from django.utils.translation import gettext as _

from billing import stripe_gateway
from billing.models import Subscription
from billing.stripe_gateway import CardDeclined, StripeObject
from billing.subscriptions import invoices, stripe_objects, stripe_sync
from billing.subscriptions.previews import ConfirmationStale
from pricing.models import Plan


def require_authentication_only(payload: StripeObject, now: datetime) -> None:
    """Leave a pending change that the cardholder has to authenticate; drop one whose payment was declined.

    `payload`: the subscription in the response to the change. Raises CardDeclined.
    """
    invoice_id = stripe_objects.id_of(payload["latest_invoice"])
    payment_id = invoices.payment_id(stripe_gateway.retrieve_invoice(invoice_id))
    intent = stripe_gateway.retrieve_payment_intent(payment_id) if payment_id else {}
    if intent.get("status") == "requires_action":
        return
    if intent.get("status") not in {"succeeded", "processing"}:
        stripe_gateway.void_invoice(invoice_id)
    stripe_sync.synchronize(str(payload["id"]), now)
    if intent.get("status") not in {"succeeded", "processing"}:
        error = intent.get("last_payment_error") or {}
        code = error.get("decline_code") or error.get("code") or "card_declined"
        raise CardDeclined(str(code), str(error.get("message") or ""), intent)


def sentence(subscription: Subscription) -> str:
    """What the cardholder has to do for the pending change."""
    plan = Plan.objects.filter(key=subscription.pending_plan).values_list("name", flat=True).first()
    return _("Your bank asks you to confirm the payment; your plan changes to %(plan)s when you have.") % {
        "plan": plan or subscription.pending_plan
    }


def discard(subscription: Subscription, now: datetime) -> None:
    """Drop the change that waits for its payment. Raises ConfirmationStale when it was paid meanwhile."""
    invoice = stripe_gateway.void_invoice(subscription.pending_invoice)
    if invoice.get("status") == "paid":
        stripe_sync.synchronize(str(subscription.stripe_subscription_id), now)
        raise ConfirmationStale
