"""Checkout Sessions: the payment pages that Stripe hosts."""

from billing.stripe_gateway.client import StripeObject, call


def create_checkout_session(*, key: str, params: StripeObject) -> StripeObject:
    """Create a hosted payment page; billing.purchases.checkout builds the parameters."""
    return call(lambda v1: v1.checkout.sessions.create(params, {"idempotency_key": key}))


def retrieve_checkout_session(session_id: str) -> StripeObject:
    """A Checkout Session, expanded with its payment and that payment's latest charge."""
    expand = {"expand": ["payment_intent.latest_charge"]}
    return call(lambda v1: v1.checkout.sessions.retrieve(session_id, expand))


def expire_checkout_session(session_id: str) -> StripeObject:
    """Close an open payment page. Raises InvalidRequest when it is already complete or expired."""
    return call(lambda v1: v1.checkout.sessions.expire(session_id))
