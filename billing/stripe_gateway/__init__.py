"""Calls to the Stripe API as small typed functions that take and return plain values.

Invariants: see billing.stripe_gateway.client. Amounts are in minor units, times in Unix seconds.
"""

from billing.stripe_gateway.checkout import (
    create_checkout_session,
    expire_checkout_session,
    retrieve_checkout_session,
)
from billing.stripe_gateway.client import (
    API_VERSION,
    AuthenticationRequired,
    CardDeclined,
    InvalidRequest,
    ResourceMissing,
    SignatureVerificationError,
    StripeError,
    StripeObject,
    StripeUnavailable,
    to_plain,
    verify_signature,
)
from billing.stripe_gateway.customers import (
    create_customer,
    create_portal_session,
    retrieve_default_payment_method,
    retrieve_payment_method,
    retrieve_setup_intent,
    set_default_payment_method,
)
from billing.stripe_gateway.lists import (
    list_checkout_sessions,
    list_disputes,
    list_events,
    list_payment_intents,
    list_recent_events,
    list_refunds,
    retrieve_again,
)
from billing.stripe_gateway.payments import (
    create_off_session_payment,
    create_refund,
    list_refunds_of_charge,
    retrieve_dispute,
    retrieve_payment_intent,
    retrieve_refund,
)
from billing.stripe_gateway.subscriptions import (
    BILLING_MODE,
    create_invoice_preview,
    create_price,
    ensure_flexible_billing,
    retrieve_invoice,
    retrieve_subscription,
    update_subscription,
    void_invoice,
)

__all__ = [
    "API_VERSION",
    "BILLING_MODE",
    "AuthenticationRequired",
    "CardDeclined",
    "InvalidRequest",
    "ResourceMissing",
    "SignatureVerificationError",
    "StripeError",
    "StripeObject",
    "StripeUnavailable",
    "create_checkout_session",
    "create_customer",
    "create_invoice_preview",
    "create_off_session_payment",
    "create_portal_session",
    "create_price",
    "create_refund",
    "ensure_flexible_billing",
    "expire_checkout_session",
    "list_checkout_sessions",
    "list_disputes",
    "list_events",
    "list_payment_intents",
    "list_recent_events",
    "list_refunds",
    "list_refunds_of_charge",
    "retrieve_again",
    "retrieve_checkout_session",
    "retrieve_default_payment_method",
    "retrieve_dispute",
    "retrieve_invoice",
    "retrieve_payment_intent",
    "retrieve_payment_method",
    "retrieve_refund",
    "retrieve_setup_intent",
    "retrieve_subscription",
    "set_default_payment_method",
    "to_plain",
    "update_subscription",
    "verify_signature",
    "void_invoice",
]
