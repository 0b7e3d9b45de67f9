"""Invoices: drafted, finalised, charged to the saved card, paid or tried again.

Invariant: a finalised invoice keeps its lines and sums; it is paid once, by one payment intent that it made.
"""

from sandbox import errors, store
from sandbox.calls import Call
from sandbox.objects import (
    events,
    invoice_bodies,
    payment_intents,
    payment_methods,
    payments,
    subscription_states,
)
from sandbox.store import Body

# Days after the first failure at which the card is tried again; then the subscription ends.
RETRY_DAYS = (3, 5, 7)


def draft(call: Call, customer: Body, **given: object) -> Body:
    """A draft; `given` as in invoice_bodies.blank."""
    body = invoice_bodies.blank(call, customer, **given)  # type: ignore[arg-type]
    subscription = invoice_bodies.subscription_of(body)
    if subscription:
        body["default_payment_method"] = subscription["default_payment_method"]
    store.add(body)
    events.record("invoice.created", body, call)
    return body


def finalize(body: Body, call: Call, *, intent: Body | None = None) -> Body:
    """Give the draft a number and a payment intent (`intent`, when the money came before the invoice)."""
    if body["status"] != "draft":
        raise errors.StripeError("This invoice is already finalized.", code="invoice_not_editable")
    customer = store.get("customer", body["customer"])
    body["starting_balance"] = customer["balance"]
    invoice_bodies.total(body)
    left = body["total"] + customer["balance"]
    body["ending_balance"] = min(0, left) if body["total"] > 0 else left
    if 0 < body["amount_due"] < payment_intents.smallest(body["currency"]):
        # Too little to charge: the customer owes it on the next invoice.
        body |= {"amount_due": 0, "amount_remaining": 0, "ending_balance": left}
    body |= {
        "status": "open",
        "number": f"{customer['invoice_prefix']}-{customer['next_invoice_sequence']:04d}",
        "effective_at": call.now,
        "hosted_invoice_url": invoice_bodies.hosted_url(body["id"]),
        "invoice_pdf": f"{invoice_bodies.hosted_url(body['id'])}?pdf",
    }
    body["status_transitions"]["finalized_at"] = call.now
    customer |= {
        "next_invoice_sequence": customer["next_invoice_sequence"] + 1,
        "balance": body["ending_balance"],
        "currency": body["currency"],
    }
    store.save(customer)
    store.save(body)
    events.record("invoice.finalized", body, call)
    if body["amount_due"] == 0:
        return mark_paid(body, None, call)
    paying = intent or _intent(body, call)
    paying["_invoice"] = body["id"]
    store.save(paying)
    invoice_bodies.payment(body, paying, call)
    return mark_paid(body, paying, call) if intent else body


def _intent(body: Body, call: Call) -> Body:
    subscription = invoice_bodies.subscription_of(body)
    return payment_intents.new(
        call,
        amount=body["amount_due"],
        currency=body["currency"],
        customer=body["customer"],
        description="Subscription update" if subscription else f"Payment for invoice {body['number']}",
        receipt_email=body["customer_email"],
        setup_future_usage="off_session" if subscription else None,
        allowed_payment_method_types=["card"],
    )


def collect(body: Body, call: Call, *, method: Body | None = None, off_session: bool = True) -> Body:
    """Try to charge an open invoice. Raises payments.Declined, with the failure written on the invoice."""
    payment = next(iter(store.where("invoice_payment", invoice=body["id"])))
    intent = store.get("payment_intent", payment["payment"]["payment_intent"])
    chosen = method or _default_method(body)
    body |= {"attempted": True, "attempt_count": body["attempt_count"] + 1}
    if chosen is None:
        failed(body, intent, call)
        message = "Cannot charge a customer that has no active card"
        raise payments.Declined(message, status=402, type="card_error", code="missing")
    try:
        intent = payments.attempt(intent, chosen, call, off_session=off_session)
    except payments.Declined:
        failed(body, intent, call)
        raise
    if intent["status"] == "succeeded":
        return mark_paid(body, intent, call)
    store.save(body)
    events.record("invoice.payment_action_required", body, call)
    return body


def _default_method(body: Body) -> Body | None:
    customer = store.get("customer", body["customer"])
    chosen = body["default_payment_method"] or customer["invoice_settings"]["default_payment_method"]
    method = store.find("payment_method", chosen)
    return method if method and method["customer"] == customer["id"] else None


def mark_paid(body: Body, intent: Body | None, call: Call) -> Body:
    """The invoice is paid (or has nothing to pay)."""
    if body["status"] == "paid":
        return body
    body |= {
        "status": "paid",
        "amount_paid": body["amount_due"],
        "amount_remaining": 0,
        "attempted": True,
        "attempt_count": max(1, body["attempt_count"]) if intent else body["attempt_count"],
        "next_payment_attempt": None,
    }
    body["status_transitions"]["paid_at"] = call.now
    store.save(body)
    for payment in store.where("invoice_payment", invoice=body["id"]):
        payment |= {"status": "paid", "amount_paid": body["amount_paid"]}
        payment["status_transitions"]["paid_at"] = call.now
        store.save(payment)
        events.record("invoice_payment.paid", payment, call)
    events.record("invoice.paid", body, call)
    events.record("invoice.payment_succeeded", body, call)
    if subscription := invoice_bodies.subscription_of(body):
        subscription_states.paid(subscription, body, call)
    return body


def failed(body: Body, intent: Body, call: Call) -> None:
    """A try failed: another follows, or the subscription ends."""
    subscription = invoice_bodies.subscription_of(body)
    retries = (
        RETRY_DAYS[body["attempt_count"] - 1 :]
        if subscription and subscription["status"] != "incomplete"
        else ()
    )
    body["next_payment_attempt"] = call.now + retries[0] * 86400 if retries else None
    store.save(body)
    events.record("invoice.payment_failed", body, call)
    error = intent["last_payment_error"] or {}
    if error.get("code") == "authentication_required":
        events.record("invoice.payment_action_required", body, call)
    if subscription and body["billing_reason"] != "subscription_update":
        subscription_states.unpaid(subscription, call)
        given_up = not retries and subscription["status"] == "past_due"
        if given_up:
            subscription_states.end(subscription, call, reason="payment_failed")


def void_open(body: Body, call: Call) -> Body:
    body |= {"status": "void", "next_payment_attempt": None, "auto_advance": False}
    body["status_transitions"]["voided_at"] = call.now
    store.save(body)
    events.record("invoice.voided", body, call)
    return body


def usable_method(call: Call, body: Body) -> Body | None:
    """The method named in a request to pay, which must be the customer's."""
    if not call.params.get("payment_method"):
        return None
    method = payment_methods.usable(call.params["payment_method"], call)
    if method["customer"] not in (None, body["customer"]):
        raise errors.unknown_object("payment_method", method["id"], "payment_method")
    return method
