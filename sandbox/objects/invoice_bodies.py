"""The shape of an invoice and of its payments, and the sums on it.

Invariant: total = subtotal - discounts; amount_due = total + what the customer's balance adds, never below
zero.
"""

import copy
from typing import Any

from django.conf import settings

from sandbox import store
from sandbox.calls import Call
from sandbox.objects import defaults
from sandbox.store import Body


def blank(
    call: Call,
    customer: Body,
    *,
    lines: list[Body],
    currency: str,
    reason: str,
    subscription: Body | None = None,
    discounts: list[tuple[str, int]] | None = None,
    invoice_id: str | None = None,
) -> Body:
    """A draft; `discounts` are (discount id, minor units taken off)."""
    own_id = invoice_id or store.new_id("invoice")
    starts = [line["period"]["start"] for line in lines] or [call.now]
    body: Body = copy.deepcopy(defaults.INVOICE) | {
        "id": own_id,
        "billing_reason": reason,
        "created": call.now,
        "currency": currency,
        "customer": customer["id"],
        "customer_address": customer["address"],
        "customer_email": customer["email"],
        "customer_name": customer["name"],
        "customer_phone": customer["phone"],
        "customer_tax_exempt": customer["tax_exempt"],
        "discounts": [discount for discount, _ in discounts or []],
        "lines": _line_list(own_id, lines),
        "parent": _parent(subscription),
        "period_end": call.now,
        "period_start": min([*starts, call.now]),
        "starting_balance": customer["balance"],
        "test_clock": customer["test_clock"],
        "total_discount_amounts": [
            {"amount": amount, "discount": discount} for discount, amount in discounts or []
        ],
    }
    return total(body)


def _line_list(invoice_id: str, lines: list[Body]) -> Body:
    for line in lines:
        line["invoice"] = invoice_id
    return {"object": "list", "url": f"/v1/invoices/{invoice_id}/lines", "has_more": False, "data": lines}


def _parent(subscription: Body | None) -> dict[str, Any] | None:
    if subscription is None:
        return None
    details = {
        "metadata": subscription["metadata"],
        "subscription": subscription["id"],
        "subscription_proration_date": None,
    }
    return {"quote_details": None, "subscription_details": details, "type": "subscription_details"}


def total(body: Body) -> Body:
    """Sum the lines again."""
    subtotal = sum(line["amount"] for line in body["lines"]["data"])
    whole = subtotal - sum(discount["amount"] for discount in body["total_discount_amounts"])
    due = max(0, whole + body["starting_balance"]) if whole > 0 else 0
    body |= {
        "subtotal": subtotal,
        "subtotal_excluding_tax": subtotal,
        "total": whole,
        "total_excluding_tax": whole,
        "amount_due": due,
        "amount_remaining": due - body["amount_paid"],
    }
    return body


def hosted_url(invoice_id: str) -> str:
    return f"{settings.SITE_URL}/sandbox/invoice/{invoice_id}"


def payment(invoice: Body, intent: Body, call: Call) -> Body:
    """The link between an invoice and the payment intent that pays it."""
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


def subscription_of(body: Body) -> Body | None:
    """The subscription an invoice bills."""
    parent = body["parent"] or {}
    details = parent.get("subscription_details") or {}
    return store.find("subscription", details.get("subscription"))
