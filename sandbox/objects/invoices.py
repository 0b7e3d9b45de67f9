"""Invoices: drafted, finalized, charged to the default card, paid or retried.

Invariant: total = sum of the lines; amount_due = total plus the customer's balance, never below zero. A
finalized invoice keeps its lines and amounts, and is paid once, by its own payment intent.
https://docs.stripe.com/invoicing/overview and https://docs.stripe.com/billing/revenue-recovery/smart-retries
"""

import copy
from typing import Any

from django.conf import settings

from sandbox import errors, store
from sandbox.calls import Call
from sandbox.objects import (
    amounts,
    clocks,
    customer_balances,
    defaults,
    events,
    payment_intents,
    pending_updates,
    subscription_states,
    taxes,
)
from sandbox.store import Body

# Days after the first failure on which the card is charged again; after the last one the subscription ends.
RETRY_DAYS = (3, 5, 7)


def retrieve(call: Call) -> Body:
    return store.get("invoice", call.ids["invoice"])


def list_payments(call: Call) -> Body:
    """Payments of invoices, as of one payment intent: https://docs.stripe.com/api/invoice-payment/list"""
    payment = call.params.get("payment") or {}
    return store.listing(
        "invoice_payment",
        call,
        "/v1/invoice_payments",
        invoice=call.params.get("invoice"),
        payment__payment_intent=payment.get("payment_intent"),
    )


def new(
    call: Call,
    customer: Body,
    *,
    lines: list[Body],
    reason: str,
    subscription: Body,
    invoice_id: str | None = None,
) -> Body:
    """A draft of a subscription's invoice that is neither stored nor recorded as an event (a preview)."""
    own_id = invoice_id or store.new_id("invoice")
    for line in lines:
        line["invoice"] = own_id
    body: Body = copy.deepcopy(defaults.INVOICE) | {
        "id": own_id,
        "billing_reason": reason,
        "created": call.now,
        "currency": subscription["currency"],
        "customer": customer["id"],
        "customer_address": customer["address"],
        "customer_email": customer["email"],
        "customer_name": customer["name"],
        "customer_phone": customer["phone"],
        "customer_tax_exempt": customer["tax_exempt"],
        "discounts": [],
        "lines": {
            "object": "list",
            "url": f"/v1/invoices/{own_id}/lines",
            "has_more": False,
            "data": lines,
        },
        "parent": _parent(subscription),
        "period_end": call.now,
        "period_start": min([call.now, *(line["period"]["start"] for line in lines)]),
        "starting_balance": customer["balance"],
        "test_clock": customer["test_clock"],
        "total_discount_amounts": [],
    }
    if subscription["automatic_tax"]["enabled"]:
        body["automatic_tax"] |= {"enabled": True, "liability": {"type": "self"}, "provider": "stripe"}
    return _sum(body)


def _parent(subscription: Body) -> dict[str, Any]:
    details = {
        "metadata": subscription["metadata"],
        "subscription": subscription["id"],
        "subscription_proration_date": None,
    }
    return {"quote_details": None, "subscription_details": details, "type": "subscription_details"}


def _sum(body: Body) -> Body:
    """Compute the totals from the lines and the starting balance."""
    subtotal = sum(line["amount"] for line in body["lines"]["data"])
    taxes.apply_to_invoice(body)
    total = subtotal + sum(taxes.added(tax) for tax in body["total_taxes"])
    tax = sum(tax["amount"] for tax in body["total_taxes"])
    due = max(0, total + body["starting_balance"]) if total > 0 else 0
    body |= {
        "subtotal": subtotal,
        "subtotal_excluding_tax": total - tax,
        "total": total,
        "total_excluding_tax": total - tax,
        "amount_due": due,
        "amount_remaining": due - body["amount_paid"],
    }
    return body


def draft(
    call: Call,
    customer: Body,
    *,
    lines: list[Body],
    reason: str,
    subscription: Body,
    finalizes_at: int | None = None,
) -> Body:
    """Create a draft; `finalizes_at`: the Unix second from which it is finalized automatically."""
    body = new(call, customer, lines=lines, reason=reason, subscription=subscription)
    body["automatically_finalizes_at"] = finalizes_at
    store.add(body)
    events.record("invoice.created", body, call)
    return body


def finalize(body: Body, call: Call, *, intent: Body | None = None) -> Body:
    """Give the draft a number and a payment intent; `intent` is one that already paid it or is pending."""
    if body["status"] != "draft":
        raise errors.StripeError("This invoice is already finalized.", code="invoice_not_editable")
    customer = store.get("customer", body["customer"])
    body["starting_balance"] = customer["balance"]
    _sum(body)
    remaining = body["total"] + customer["balance"]
    body["ending_balance"] = min(0, remaining) if body["total"] > 0 else remaining
    used = body["ending_balance"] - body["starting_balance"]
    about: dict[str, Any] = {"currency": body["currency"], "invoice": body["id"]}
    customer_balances.record(customer, used, call, kind="applied_to_invoice", **about)
    if 0 < body["amount_due"] < amounts.minimum(body["currency"]):
        # Too small to charge: added to the customer's next invoice.
        customer_balances.record(customer, body["amount_due"], call, kind="invoice_too_small", **about)
        body |= {"amount_due": 0, "amount_remaining": 0, "ending_balance": remaining}
    hosted_url = f"{settings.SITE_URL}/sandbox/invoice/{body['id']}"
    body |= {
        "status": "open",
        "automatically_finalizes_at": None,
        "number": f"{customer['invoice_prefix']}-{customer['next_invoice_sequence']:04d}",
        "effective_at": call.now,
        "hosted_invoice_url": hosted_url,
        "invoice_pdf": f"{hosted_url}?pdf",
    }
    body["status_transitions"]["finalized_at"] = call.now
    customer |= {
        "next_invoice_sequence": customer["next_invoice_sequence"] + 1,
        "currency": body["currency"],
    }
    store.save(customer)
    store.save(body)
    events.record("invoice.finalized", body, call)
    if body["amount_due"] == 0:
        return mark_paid(body, None, call)
    paying = intent or _new_intent(body, call)
    paying["_invoice"] = body["id"]
    store.save(paying)
    _add_payment(body, paying, call)
    if intent is None:
        return body
    return mark_paid(body, intent, call) if intent["status"] == "succeeded" else _payment_begun(body, call)


def _new_intent(body: Body, call: Call) -> Body:
    return payment_intents.new(
        call,
        amount=body["amount_due"],
        currency=body["currency"],
        customer=body["customer"],
        description="Subscription update",
        receipt_email=body["customer_email"],
        setup_future_usage="off_session",
        allowed_payment_method_types=["card", "sepa_debit"],
    )


def _add_payment(invoice: Body, intent: Body, call: Call) -> Body:
    """The link between an invoice and its payment intent. https://docs.stripe.com/api/invoice-payment"""
    return store.add(
        {
            "id": store.new_id("invoice_payment"),
            "object": "invoice_payment",
            "amount_paid": None,
            "amount_requested": invoice["amount_due"],
            "created": call.now,
            "currency": invoice["currency"],
            "invoice": invoice["id"],
            "is_default": True,
            "livemode": False,
            "payment": {"payment_intent": intent["id"], "type": "payment_intent"},
            "status": "open",
            "status_transitions": {"canceled_at": None, "paid_at": None},
        }
    )


def intent_of(body: Body) -> Body:
    """The payment intent of a finalized invoice with an amount due."""
    payment = store.where("invoice_payment", invoice=body["id"], is_default=True)[0]
    return store.get("payment_intent", payment["payment"]["payment_intent"])


def subscription_of(body: Body) -> Body:
    return store.get("subscription", body["parent"]["subscription_details"]["subscription"])


def collect(body: Body, call: Call, *, method: Body | None = None, off_session: bool = True) -> Body:
    """Charge an open invoice. Raises payment_intents.Declined after recording the failure on it."""
    intent = intent_of(body)
    chosen = method or _default_method(body)
    body |= {"attempted": True, "attempt_count": body["attempt_count"] + 1}
    if chosen is None:
        _failed(body, intent, call)
        message = "Cannot charge a customer that has no active card"
        raise payment_intents.Declined(message, status=402, type="card_error", code="missing")
    try:
        intent = payment_intents.attempt(intent, chosen, call, off_session=off_session, saved=method is None)
    except payment_intents.Declined:
        _failed(body, intent, call)
        raise
    if intent["status"] == "succeeded":
        return mark_paid(body, intent, call)
    if intent["status"] == "processing":
        return _payment_begun(body, call)
    store.save(body)
    events.record("invoice.payment_action_required", body, call)
    return body


def _payment_begun(body: Body, call: Call) -> Body:
    """A delayed payment is processing: the invoice stays open until it succeeds or fails."""
    body |= {"attempted": True, "attempt_count": max(1, body["attempt_count"]), "next_payment_attempt": None}
    store.save(body)
    subscription_states.payment_begun(subscription_of(body), call)
    return body


def delayed_payment_failed(body: Body, intent: Body, call: Call) -> None:
    """The bank refused a payment that was processing."""
    if body["status"] == "open":
        _failed(body, intent, call)


def _default_method(body: Body) -> Body | None:
    """The payment method that is charged: the first that is set, in Stripe's order.

    It is read at each attempt, so that a retry uses the card that the subscription has by then. A method that
    was detached is not replaced by the next in the order.
    https://docs.stripe.com/billing/revenue-recovery/smart-retries#payment-method-ordering
    """
    customer, subscription = store.get("customer", body["customer"]), subscription_of(body)
    chosen = (
        body["default_payment_method"]
        or subscription["default_payment_method"]
        or subscription["default_source"]
        or customer["invoice_settings"]["default_payment_method"]
        or customer["default_source"]
    )
    method = store.find("payment_method", chosen)
    return method if method and method["customer"] == customer["id"] else None


def pay(call: Call) -> Body:
    """Charge an open invoice now, by `payment_method` or the default one. Raises payment_intents.Declined.

    Stripe does not charge a new card before the next scheduled attempt unless it is asked to. A payment that
    the cardholder must authenticate has an error code of its own, without the PaymentIntent.
    https://docs.stripe.com/api/invoices/pay,
    https://docs.stripe.com/error-codes#invoice-payment-intent-requires-action
    """
    body = retrieve(call)
    if body["status"] != "open":
        message = "Invoice is already paid" if body["status"] == "paid" else "The invoice cannot be paid."
        raise errors.StripeError(message, code="invoice_already_paid" if body["status"] == "paid" else None)
    call = clocks.of_customer(call, body["customer"])
    method = None
    if method_id := call.params.get("payment_method"):
        method = store.get("payment_method", method_id, "payment_method")
        if method["customer"] != body["customer"]:
            raise errors.unknown_object("payment_method", method_id, "payment_method")
    off_session = call.params.get("off_session", True)
    try:
        return collect(body, call, method=method, off_session=bool(off_session))
    except payment_intents.Declined as declined:
        if declined.error.get("code") != "authentication_required":
            raise
        raise payment_intents.Declined(
            "This payment requires additional user action before it can be completed successfully. Payment"
            " can be completed using the PaymentIntent associated with the invoice.",
            status=402,
            type="card_error",
            code="invoice_payment_intent_requires_action",
        ) from declined


def mark_paid(body: Body, intent: Body | None, call: Call) -> Body:
    """Record the payment; `intent` is None when nothing was due."""
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
    subscription = subscription_of(body)
    pending_updates.apply(subscription, body, call)
    subscription_states.invoice_paid(subscription, body, call)
    return body


def _failed(body: Body, intent: Body, call: Call) -> None:
    """Record a failed attempt: schedule the next one, or end the subscription after the last."""
    subscription = subscription_of(body)
    # an update that waits for this invoice is discarded when the invoice stays unpaid: it is not retried
    retried = subscription["status"] != "incomplete" and not subscription["pending_update"]
    retries = RETRY_DAYS[body["attempt_count"] - 1 :] if retried else ()
    body["next_payment_attempt"] = call.now + retries[0] * 86400 if retries else None
    store.save(body)
    events.record("invoice.payment_failed", body, call)
    error = intent["last_payment_error"] or {}
    if error.get("code") == "authentication_required":
        events.record("invoice.payment_action_required", body, call)
    if body["billing_reason"] != "subscription_update":
        subscription_states.invoice_unpaid(subscription, body, call)
        if not retries and subscription["status"] == "past_due":
            subscription_states.end(subscription, call, reason="payment_failed")


def void(body: Body, call: Call) -> Body:
    """Void an open invoice: its payment is cancelled, and a pending update that waits for it is discarded."""
    body |= {"status": "void", "next_payment_attempt": None, "auto_advance": False}
    body["status_transitions"]["voided_at"] = call.now
    store.save(body)
    for payment in store.where("invoice_payment", invoice=body["id"], status="open"):
        payment["status"] = "canceled"
        payment["status_transitions"]["canceled_at"] = call.now
        store.save(payment)
    events.record("invoice.voided", body, call)
    pending_updates.discard(subscription_of(body), body, call)
    return body


def void_open(call: Call) -> Body:
    """https://docs.stripe.com/api/invoices/void"""
    body = store.get("invoice", call.ids["invoice"])
    if body["status"] not in ("open", "uncollectible"):
        raise errors.StripeError(
            "You can only pass in open or uncollectible invoices.", code="invoice_not_editable"
        )
    return void(body, call)
