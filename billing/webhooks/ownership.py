"""Which objects of the Stripe account belong to this installation.

Other software may use the same Stripe account. Invariant: an object is ours when its metadata name one of our
records or we have recorded its id; events of other objects are stored and ignored, without an alert. Whether
a subscription that staff created in Stripe's dashboard is ours is decided by its customer and price
(billing.subscriptions.stripe_objects).
"""

from typing import Any

from accounts.models import Account
from billing.models import BillingProfile, Purchase, Refund, Subscription
from billing.stripe_gateway import StripeObject
from billing.subscriptions.stripe_objects import id_of, invoice_subscription_id


def is_ours(event_type: str, stripe_object: StripeObject) -> bool:
    """Whether an event's object may be ours. Payments, refunds and disputes are matched by their handlers."""
    if event_type.startswith("checkout.session."):
        return session_is_ours(stripe_object)
    if event_type.startswith("invoice."):
        return _invoice_is_ours(stripe_object)
    if event_type.startswith("customer.subscription."):
        return _names_account(stripe_object) or _subscription_is_known(stripe_object)
    if event_type.startswith("customer."):
        return _names_account(stripe_object) or _customer_is_known(stripe_object.get("id"))
    return True


def session_is_ours(session: StripeObject) -> bool:
    """Whether a Checkout session was created by this installation."""
    metadata = session.get("metadata") or {}
    reference = str(session.get("client_reference_id") or metadata.get("purchase") or "")
    if Purchase.uuid_of(reference) is not None or _names_account(session):
        return True
    return Purchase.objects.filter(stripe_session_id=session.get("id") or "-").exists()


def payment_is_ours(intent: StripeObject) -> bool:
    """Whether a payment names a purchase, is recorded, or was made by one of our customers."""
    purchase = str((intent.get("metadata") or {}).get("purchase", ""))
    if Purchase.uuid_of(purchase) is not None or _customer_is_known(intent.get("customer")):
        return True
    return Purchase.objects.filter(stripe_payment_id=intent.get("id") or "-").exists()


def refund_is_ours(refund: StripeObject) -> bool:
    """Whether a refund names one of ours, or is of a recorded payment."""
    named = str((refund.get("metadata") or {}).get("refund", ""))
    payment = id_of(refund.get("payment_intent") or "-")
    return Refund.uuid_of(named) is not None or Purchase.objects.filter(stripe_payment_id=payment).exists()


def _invoice_is_ours(invoice: StripeObject) -> bool:
    """An invoice has a copy of its subscription's metadata (https://docs.stripe.com/api/invoices/object)."""
    subscription_id = invoice_subscription_id(invoice)
    if subscription_id is None:
        return False
    details = (invoice.get("parent") or {}).get("subscription_details") or {}
    if _names_account(details) or _names_account(invoice.get("subscription_details") or {}):
        return True
    return _subscription_is_known({"id": subscription_id, "customer": invoice.get("customer")})


def _names_account(stripe_object: StripeObject) -> bool:
    account = str((stripe_object.get("metadata") or {}).get("account", ""))
    return Account.uuid_of(account) is not None


def _subscription_is_known(subscription: StripeObject) -> bool:
    known = Subscription.objects.filter(stripe_subscription_id=str(subscription.get("id") or "-"))
    return known.exists() or _customer_is_known(subscription.get("customer"))


def _customer_is_known(customer: Any) -> bool:
    return bool(customer) and BillingProfile.objects.filter(stripe_customer_id=id_of(customer)).exists()
