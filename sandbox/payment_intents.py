"""Payment intents: an amount somebody is going to pay, in its first state.

Invariant: an intent's amount is one that Stripe would take, and can be paid by at least one kind of method.
What becomes of it is told in sandbox.payments.
"""

from typing import Any

from sandbox import balance, customers, errors, events, payment_methods, store
from sandbox.calls import Call
from sandbox.store import Body

SMALLEST = {
    "jpy": 50,
    "krw": 500,
    "hkd": 400,
    "cny": 400,
    "mxn": 1000,
    "sek": 300,
    "nok": 300,
    "dkk": 250,
    "gbp": 30,
}


def smallest(currency: str) -> int:
    """The least that Stripe charges, in minor units."""
    return SMALLEST.get(currency, 50)


def check_amount(amount: int, currency: str) -> None:
    """Raises StripeError for amounts that Stripe does not take."""
    if amount < 1:
        raise errors.StripeError(
            "This value must be greater than or equal to 1.", code="parameter_invalid_integer", param="amount"
        )
    if amount < smallest(currency):
        least = balance.format_amount(smallest(currency), currency)
        raise errors.StripeError(f"Amount must be at least {least}", code="amount_too_small", param="amount")
    if amount > 99_999_999:
        raise errors.StripeError(
            "Amount must be no more than 999,999.99", code="amount_too_large", param="amount"
        )


def new(call: Call, *, amount: int, currency: str, **given: Any) -> Body:
    """A payment intent without a payment method; `given` are Stripe's parameters."""
    check_amount(amount, currency)
    intent_id = store.new_id("payment_intent")
    allowed = given.get("allowed_payment_method_types")
    body: Body = {
        "id": intent_id,
        "object": "payment_intent",
        "allowed_payment_method_types": allowed,
        "amount": amount,
        "amount_capturable": 0,
        "amount_details": {"tip": {}},
        "amount_received": 0,
        "application": None,
        "application_fee_amount": None,
        "automatic_payment_methods": {"allow_redirects": "always", "enabled": True},
        "canceled_at": None,
        "cancellation_reason": None,
        "capture_method": "automatic_async",
        "client_secret": f"{intent_id}_secret_{store.random_text(25)}",
        "confirmation_method": "automatic",
        "created": call.now,
        "currency": currency,
        "customer": given.get("customer"),
        "customer_account": None,
        "description": given.get("description"),
        "excluded_payment_method_types": None,
        "last_payment_error": None,
        "latest_charge": None,
        "livemode": False,
        "metadata": {},
        "next_action": None,
        "on_behalf_of": None,
        "payment_method": None,
        "payment_method_configuration_details": None,
        "payment_method_options": given.get("payment_method_options") or {},
        "payment_method_types": payment_methods.offered(currency, allowed),
        "payment_record": None,
        "processing": None,
        "receipt_email": given.get("receipt_email"),
        "review": None,
        "setup_future_usage": given.get("setup_future_usage"),
        "shipping": None,
        "source": None,
        "statement_descriptor": given.get("statement_descriptor"),
        "statement_descriptor_suffix": given.get("statement_descriptor_suffix"),
        "status": "requires_payment_method",
        "transfer_data": None,
        "transfer_group": given.get("transfer_group"),
    }
    customers.merge_metadata(body, given.get("metadata") or {})
    store.add(body)
    events.record("payment_intent.created", body, call)
    return body
