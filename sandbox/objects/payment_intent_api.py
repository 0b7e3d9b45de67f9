"""The API's doors to payment intents: create, confirm, change, cancel.

Invariant: an intent's amount, currency and status move only as Stripe allows; a cancelled or paid one is
final.
"""

from sandbox import errors, store
from sandbox.calls import Call
from sandbox.objects import (
    clocks,
    customers,
    events,
    outcomes,
    payment_intents,
    payment_methods,
    payments,
)
from sandbox.store import Body


def create(call: Call) -> Body:
    """Create, and with `confirm` pay at once. Raises payments.Declined."""
    given = dict(call.params)
    amount, currency = given.pop("amount"), given.pop("currency").lower()
    if customer := given.get("customer"):
        call = clocks.of_customer(call, store.get("customer", customer, "customer"))
    if given.get("off_session") and not given.get("confirm"):
        raise errors.StripeError("off_session can only be used with confirm=true.", param="off_session")
    body = payment_intents.new(call, amount=amount, currency=currency, **given)
    if given.get("confirm"):
        return _confirm(body, call)
    if method := given.get("payment_method"):
        body |= {
            "payment_method": payment_methods.usable(method, call)["id"],
            "status": "requires_confirmation",
        }
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
        raise errors.StripeError(
            "The payment method was detached and may not be used again.", param="payment_method"
        )
    off_session = bool(call.params.get("off_session")) and call.params.get("off_session") != "false"
    try:
        payments.attempt(body, method, call, off_session=off_session)
    except payments.Declined:
        outcomes.failed(body, call)
        raise
    if body["status"] == "requires_action" and call.params.get("error_on_requires_action"):
        raise payments.fail(body, method, call, decline="authentication_required")
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
    for name in (
        "amount",
        "currency",
        "customer",
        "description",
        "receipt_email",
        "setup_future_usage",
        "payment_method",
    ):
        if name in call.params:
            body[name] = call.params[name] or None
    if "amount" in call.params:
        payment_intents.check_amount(body["amount"], body["currency"])
    if "metadata" in call.params:
        customers.merge_metadata(body, call.params["metadata"])
    body["payment_method_options"] |= call.params.get("payment_method_options") or {}
    return store.save(body)


def cancel(call: Call) -> Body:
    body = retrieve(call)
    if body["status"] not in payments.OPEN:
        raise unexpected(body, "canceled")
    reason = call.params.get("cancellation_reason")
    body |= {
        "status": "canceled",
        "canceled_at": call.now,
        "cancellation_reason": reason,
        "next_action": None,
    }
    store.save(body)
    events.record("payment_intent.canceled", body, call)
    return body
