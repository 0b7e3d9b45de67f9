"""Confirms and settles payment intents, and updates the checkout session or invoice that they pay.

Invariant: whenever an intent changes (API, 3-D Secure page, settlement), its checkout session and its invoice
change in the same transaction.
"""

from sandbox import errors, store
from sandbox.calls import Call
from sandbox.objects import (
    checkout_payments,
    clocks,
    customers,
    invoices,
    payment_intents,
    payment_methods,
    setup_intents,
)
from sandbox.store import Body


def create(call: Call) -> Body:
    """Create an intent; with `confirm`, pay it at once. Raises payment_intents.Declined."""
    params = dict(call.params)
    amount, currency = params.pop("amount"), params.pop("currency").lower()
    if customer := params.get("customer"):
        call = clocks.of_customer(call, store.get("customer", customer, "customer"))
    if params.get("off_session") and not params.get("confirm"):
        raise errors.StripeError("off_session can only be used with confirm=true.", param="off_session")
    intent = payment_intents.new(call, amount=amount, currency=currency, **params)
    return _confirm(intent, call) if params.get("confirm") else intent


def confirm(call: Call) -> Body:
    """Pay an intent that awaits a payment method, on session unless `off_session` is given.

    A card that requires authentication leads to `next_action.redirect_to_url`, and the customer returns from
    there to `return_url`. https://docs.stripe.com/api/payment_intents/confirm
    """
    intent = retrieve(call)
    call = clocks.of_customer(call, intent["customer"])
    if intent["status"] not in ("requires_payment_method", "requires_confirmation", "requires_action"):
        raise errors.StripeError(
            f"You cannot confirm this PaymentIntent because it has a status of {intent['status']}.",
            code="payment_intent_unexpected_state",
            payment_intent=store.public(intent),
        )
    if usage := call.params.get("setup_future_usage"):
        intent["setup_future_usage"] = usage
    intent["_return_url"] = call.params.get("return_url")
    _confirm(intent, call)
    changed(intent, call)
    return intent


def _confirm(intent: Body, call: Call) -> Body:
    if not call.params.get("payment_method"):
        raise errors.StripeError(
            "You cannot confirm this PaymentIntent because it's missing a payment method.",
            code="payment_intent_unexpected_state",
            payment_intent=store.public(intent),
        )
    method = payment_methods.usable(call.params["payment_method"], call)
    if method["customer"] and method["customer"] != intent["customer"]:
        raise errors.StripeError(
            f"The customer does not have a payment method with the ID {method['id']}.",
            code="resource_missing",
            param="payment_method",
        )
    if method.get("_detached"):
        raise errors.StripeError(
            "The payment method was detached and may not be used again.", param="payment_method"
        )
    off_session = call.params.get("off_session") not in (None, False, "false")
    payment_intents.attempt(intent, method, call, off_session=off_session)
    return intent


def retrieve(call: Call) -> Body:
    return store.get("payment_intent", call.ids["intent"])


def list_intents(call: Call) -> Body:
    return store.listing("payment_intent", call, "/v1/payment_intents", customer=call.params.get("customer"))


def changed(intent: Body, call: Call) -> None:
    """Update the checkout session or invoice of an intent that succeeded or is pending."""
    if intent.get("_becomes_default") and intent["status"] == "succeeded":
        customers.set_default_payment_method(intent["customer"], intent["payment_method"], call)
    if session_id := intent.get("_session"):
        session = store.get("checkout.session", session_id)
        if intent["object"] == "setup_intent":
            checkout_payments.setup_changed(session, intent, call)
        else:
            checkout_payments.payment_changed(session, intent, call)
    if intent.get("_invoice") and intent["status"] == "succeeded":
        invoices.mark_paid(store.get("invoice", intent["_invoice"]), intent, call)


def failed(intent: Body, call: Call) -> None:
    """Update the checkout session of an intent whose payment failed."""
    if session_id := intent.get("_session"):
        checkout_payments.payment_failed(store.get("checkout.session", session_id), call)


def authenticated(intent: Body, call: Call, *, passed: bool) -> Body:
    """The result of the 3-D Secure or wallet page. Raises payment_intents.Declined."""
    method = store.find("payment_method", intent["payment_method"])
    if intent["status"] != "requires_action" or method is None:
        return intent
    if intent["object"] == "setup_intent":
        if passed:
            setup_intents.attempt(intent, method, call, authenticated=True)
        else:
            setup_intents.fail_authentication(intent, call)
    elif not passed:
        payment_intents.fail_authentication(intent, call)
    elif method["type"] == "card":
        payment_intents.attempt(intent, method, call, authenticated=True)
    else:
        payment_intents.pay_authorised(intent, method, call)
    if passed:
        changed(intent, call)
    else:
        failed(intent, call)
    return intent


def authorised_for_later(intent: Body, call: Call) -> Body:
    """The customer authorised the payment in the wallet; it settles later."""
    payment_intents.begin_processing(intent, call)
    changed(intent, call)
    return intent


def settle(intent: Body, call: Call, *, succeeded: bool) -> Body:
    """Complete a pending payment, successfully or not. Raises StripeError if it is not pending."""
    payment_intents.settle(intent, call, succeeded=succeeded)
    if succeeded:
        changed(intent, call)
        return intent
    failed(intent, call)
    if invoice := store.find("invoice", intent.get("_invoice")):
        invoices.delayed_payment_failed(invoice, intent, call)
    return intent


def receive_transfer(intent: Body, amount: int, call: Call) -> Body:
    """A bank transfer of an amount, which may be less or more than what is awaited.

    Less leaves the payment open with a smaller remaining amount; what is more stays in the customer's cash
    balance. https://docs.stripe.com/payments/customer-balance/reconciliation
    """
    remaining = payment_intents.amount_awaited(intent)
    if amount < remaining:
        return payment_intents.fund_partially(intent, amount, call)
    customer = store.get("customer", intent["customer"])
    balance = customer.setdefault("_cash_balance", {})
    balance[intent["currency"]] = balance.get(intent["currency"], 0) + amount - remaining
    store.save(customer)
    return settle(intent, call, succeeded=True)
