"""Pay the overdue invoice of a plan with the card that Stripe charges for it.

Invariant: an attempt is made once for each of Stripe's counted attempts and each card (idempotency key), so
that a repeated click charges once. Stripe itself charges a new card only at its next scheduled attempt.
https://docs.stripe.com/api/invoices/pay
"""

from datetime import datetime
from uuid import UUID

from billing import stripe_gateway
from billing.models import BillingProfile, Subscription
from billing.subscriptions import stripe_sync


def pay(account_id: UUID, now: datetime) -> bool:
    """Charge the open invoice now; False when nothing is due.

    Raises stripe_gateway.CardDeclined, AuthenticationRequired, StripeUnavailable, InvalidRequest.
    """
    subscription = Subscription.objects.filter(account_id=account_id).first()
    if subscription is None or not subscription.stripe_subscription_id:
        return False
    stripe_id = subscription.stripe_subscription_id
    invoice = stripe_gateway.retrieve_subscription(stripe_id).get("latest_invoice") or {}
    if invoice.get("status") != "open":
        stripe_sync.synchronize(stripe_id, now)  # paid meanwhile
        return False
    card = BillingProfile.objects.filter(pk=account_id).values_list("plan_card_id", flat=True).first() or ""
    key = f"pay:{invoice['id']}:{invoice.get('attempt_count', 0)}:{card}"
    paid = stripe_gateway.pay_invoice(key=key, invoice_id=str(invoice["id"])).get("status") == "paid"
    stripe_sync.synchronize(stripe_id, now)
    return paid
