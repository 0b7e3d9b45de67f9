"""Payment intents: an amount somebody is going to pay, in its first state.

Invariant: an intent's amount is one that Stripe would take, and can be paid by at least one kind of method.
What becomes of it is told in sandbox.objects.payments.
"""

import copy
from typing import Any

from sandbox import errors, store
from sandbox.calls import Call
from sandbox.objects import balance, customers, defaults, events, payment_methods
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
    body: Body = copy.deepcopy(defaults.PAYMENT_INTENT) | {
        "id": intent_id,
        "allowed_payment_method_types": allowed,
        "amount": amount,
        "client_secret": f"{intent_id}_secret_{store.random_text(25)}",
        "created": call.now,
        "currency": currency,
        "customer": given.get("customer"),
        "description": given.get("description"),
        "payment_method_options": given.get("payment_method_options") or {},
        "payment_method_types": payment_methods.offered(currency, allowed),
        "receipt_email": given.get("receipt_email"),
        "setup_future_usage": given.get("setup_future_usage"),
        "statement_descriptor": given.get("statement_descriptor"),
        "statement_descriptor_suffix": given.get("statement_descriptor_suffix"),
        "transfer_group": given.get("transfer_group"),
    }
    customers.merge_metadata(body, given.get("metadata") or {})
    store.add(body)
    events.record("payment_intent.created", body, call)
    return body
