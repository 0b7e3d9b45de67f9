"""Payment intents: the API's doors to the engine in sandbox.payments.

Invariant: an intent's amount, currency and status move only as Stripe allows; a cancelled or paid one is final.
"""

from typing import Any

from sandbox import balance, clocks, customers, errors, events, outcomes, payment_methods, payments, store
from sandbox.calls import Call
from sandbox.store import Body

SMALLEST = {"jpy": 50, "krw": 500, "hkd": 400, "cny": 400, "mxn": 1000, "sek": 300, "nok": 300, "dkk": 250, "gbp": 30}


def check_amount(amount: int, currency: str) -> None:
    """Raises StripeError for amounts that Stripe does not take."""
    if amount < 1:
        raise errors.StripeError("This value must be greater than or equal to 1.", code="parameter_invalid_integer", param="amount")
    if amount < SMALLEST.get(currency, 50):
        least = balance.format_amount(SMALLEST.get(currency, 50), currency)
        raise errors.StripeError(f"Amount must be at least {least}", code="amount_too_small", param="amount")
    if amount > 99_999_999:
        raise errors.StripeError("Amount must be no more than 999,999.99", code="amount_too_large", param="amount")


def new(call: Call, *, amount: int, currency: str, **given: Any) -> Body:
    """A payment intent without a payment method; `given` are Stripe's parameters."""
    check_amount(amount, currency)
    intent_id = store.new_id("payment_intent")
    allowed = given.get("allowed_payment_method_types")
    body = {
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
        "payment_method_options": {},
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


def create(call: Call) -> Body:
    """Create, and with `confirm` pay at once. Raises payments.Declined."""
    given = dict(call.params)
    amount, currency = given.pop("amount"), given.pop("currency").lower()
    if customer := given.get("customer"):
        call = clocks.of_customer(call, store.get("customer", customer, "customer"))
    if given.get("off_session") and not given.get("confirm"):
        raise errors.StripeError("off_session can only be used with confirm=true.", param="off_session")
    body = new(call, amount=amount, currency=currency, **given)
    if given.get("confirm"):
        return _confirm(body, call)
    if method := given.get("payment_method"):
        body |= {"payment_method": payment_methods.usable(method, call)["id"], "status": "requires_confirmation"}
        store.save(body)
    return body


def confirm(call: Call) -> Body:
    return _confirm(retrieve(call), call)


def _confirm(body: Body, call: Call) -> Body:
    if body["status"] not in payments.OPEN:
        raise unexpected(body, "confirmed")
    body["_return_url"] = call.params.get("return_url")
    if usage := call.params.get("setup_future_usage"):
        body["setup_future_usage"] = usage
    chosen = call.params.get("payment_method") or body["payment_method"]
    if not chosen:
        raise errors.StripeError(
            "You cannot confirm this PaymentIntent because it's missing a payment method.",
            code="payment_intent_unexpected_state",
            payment_intent=store.public(body),
        )
    method = payment_methods.usable(chosen, call)
    if method["customer"] and method["customer"] != body["customer"]:
        raise errors.StripeError(
            f"The customer does not have a payment method with the ID {method['id']}.",
            code="resource_missing",
            param="payment_method",
        )
    if method.get("_detached"):
        raise errors.StripeError("The payment method was detached and may not be used again.", param="payment_method")
    off_session = bool(call.params.get("off_session")) and call.params.get("off_session") != "false"
    try:
        payments.attempt(body, method, call, off_session=off_session)
    except payments.Declined:
        outcomes.failed(body, call)
        raise
    outcomes.changed(body, call)
    return body


def unexpected(body: Body, verb: str) -> errors.StripeError:
    return errors.StripeError(
        f"This PaymentIntent's status is {body['status']}: it cannot be {verb}.",
        code="payment_intent_unexpected_state",
        payment_intent=store.public(body),
    )


def retrieve(call: Call) -> Body:
    return store.get("payment_intent", call.ids["intent"])


def list_intents(call: Call) -> Body:
    return store.listing("payment_intent", call, "/v1/payment_intents", customer=call.params.get("customer"))


def update(call: Call) -> Body:
    body = retrieve(call)
    if {"amount", "currency", "payment_method"} & set(call.params) and body["status"] not in payments.OPEN:
        raise unexpected(body, "changed")
    for name in ("amount", "currency", "customer", "description", "receipt_email", "setup_future_usage", "payment_method"):
        if name in call.params:
            body[name] = call.params[name] or None
    if "amount" in call.params:
        check_amount(body["amount"], body["currency"])
    if "metadata" in call.params:
        customers.merge_metadata(body, call.params["metadata"])
    return store.save(body)


def cancel(call: Call) -> Body:
    body = retrieve(call)
    if body["status"] not in payments.OPEN:
        raise unexpected(body, "canceled")
    reason = call.params.get("cancellation_reason")
    body |= {"status": "canceled", "canceled_at": call.now, "cancellation_reason": reason, "next_action": None}
    store.save(body)
    events.record("payment_intent.canceled", body, call)
    return body


def paid_off_session(call: Call, *, method: Body, amount: int, currency: str, **given: Any) -> Body:
    """An intent made and paid in one step while nobody is there (invoices). Raises payments.Declined."""
    body = new(call, amount=amount, currency=currency, **given)
    return payments.attempt(body, method, call, off_session=True)


def charge_of(body: Body) -> Body | None:
    return store.find("charge", body["latest_charge"]) if body["latest_charge"] else None


