"""Payments, refunds and disputes."""

from billing.stripe_gateway.client import StripeObject, call


def create_off_session_payment(*, key: str, params: StripeObject) -> StripeObject:
    """Charge a saved card without the customer present. Raises CardDeclined, AuthenticationRequired.

    Only cards are allowed: a payment that may be redirected needs a return URL when it is confirmed
    (https://docs.stripe.com/api/payment_intents/confirm).
    """
    own = {"allowed_payment_method_types": ["card"], "confirm": True, "off_session": True}
    details = {**params, **own, "expand": ["latest_charge"]}
    return call(lambda v1: v1.payment_intents.create(details, {"idempotency_key": key}))


def confirm_payment(*, key: str, payment_id: str, card: str, return_url: str) -> StripeObject:
    """Pay a failed PaymentIntent with the customer present, who may have to authenticate.

    The response's `next_action.redirect_to_url` names the bank's page. The card can be charged off-session
    afterwards. Raises CardDeclined, InvalidRequest (https://docs.stripe.com/api/payment_intents/confirm).
    """
    params = {
        "payment_method": card,
        "return_url": return_url,
        "setup_future_usage": "off_session",
        "expand": ["latest_charge"],
    }
    return call(lambda v1: v1.payment_intents.confirm(payment_id, params, {"idempotency_key": key}))


def retrieve_payment_intent(payment_id: str) -> StripeObject:
    """A PaymentIntent, expanded with its latest charge."""
    expand = {"expand": ["latest_charge"]}
    return call(lambda v1: v1.payment_intents.retrieve(payment_id, expand))


def create_refund(*, key: str, payment_id: str, amount: int, refund: str) -> StripeObject:
    """Refund part of a payment; `refund` is our refund's public id. Raises InvalidRequest."""
    params = {"payment_intent": payment_id, "amount": amount, "metadata": {"refund": refund}}
    return call(lambda v1: v1.refunds.create(params, {"idempotency_key": key}))


def find_refund(*, payment_id: str, refund: str) -> StripeObject | None:
    """The refund of a payment whose metadata name our refund's public id; None when there is none."""
    found = call(lambda v1: v1.refunds.list({"payment_intent": payment_id, "limit": 100}))["data"]
    return next((item for item in found if (item.get("metadata") or {}).get("refund") == refund), None)


def retrieve_refund(refund_id: str) -> StripeObject:
    return call(lambda v1: v1.refunds.retrieve(refund_id))


def list_refunds_of_charge(charge_id: str) -> list[StripeObject]:
    """The newest 100 refunds of a charge."""
    found: list[StripeObject] = call(lambda v1: v1.refunds.list({"charge": charge_id, "limit": 100}))["data"]
    return found


def retrieve_charge(charge_id: str) -> StripeObject:
    return call(lambda v1: v1.charges.retrieve(charge_id))


def retrieve_dispute(dispute_id: str) -> StripeObject:
    return call(lambda v1: v1.disputes.retrieve(dispute_id))
