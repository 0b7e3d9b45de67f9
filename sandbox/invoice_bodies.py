"""The shape of an invoice and of its payments, and the sums on it.

Invariant: total = subtotal - discounts; amount_due = total + what the customer's balance adds, never below
zero.
"""

from typing import Any

from django.conf import settings

from sandbox import store
from sandbox.calls import Call
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
    body: Body = {
        "id": own_id,
        "object": "invoice",
        "account_country": "US",
        "account_name": "Sandbox",
        "account_tax_ids": None,
        "amount_overpaid": 0,
        "amount_paid": 0,
        "amount_shipping": 0,
        "application": None,
        "attempt_count": 0,
        "attempted": False,
        "auto_advance": True,
        "automatic_tax": {
            "disabled_reason": None,
            "enabled": False,
            "liability": None,
            "provider": None,
            "status": None,
        },
        "automatically_finalizes_at": None,
        "billing_reason": reason,
        "collection_method": "charge_automatically",
        "created": call.now,
        "currency": currency,
        "custom_fields": None,
        "customer": customer["id"],
        "customer_account": None,
        "customer_address": customer["address"],
        "customer_email": customer["email"],
        "customer_name": customer["name"],
        "customer_phone": customer["phone"],
        "customer_shipping": None,
        "customer_tax_exempt": customer["tax_exempt"],
        "customer_tax_ids": [],
        "default_payment_method": None,
        "default_source": None,
        "default_tax_rates": [],
        "description": None,
        "discounts": [discount for discount, _ in discounts or []],
        "due_date": None,
        "effective_at": None,
        "ending_balance": None,
        "footer": None,
        "from_invoice": None,
        "hosted_invoice_url": None,
        "invoice_pdf": None,
        "issuer": {"type": "self"},
        "last_finalization_error": None,
        "latest_revision": None,
        "lines": _line_list(own_id, lines),
        "livemode": False,
        "metadata": {},
        "next_payment_attempt": None,
        "number": None,
        "on_behalf_of": None,
        "parent": _parent(subscription),
        "payment_settings": {
            "default_mandate": None,
            "payment_method_options": None,
            "payment_method_types": None,
        },
        "period_end": call.now,
        "period_start": min([*starts, call.now]),
        "post_payment_credit_notes_amount": 0,
        "pre_payment_credit_notes_amount": 0,
        "receipt_number": None,
        "rendering": None,
        "shipping_cost": None,
        "shipping_details": None,
        "starting_balance": customer["balance"],
        "statement_descriptor": None,
        "status": "draft",
        "status_transitions": {
            "finalized_at": None,
            "marked_uncollectible_at": None,
            "paid_at": None,
            "voided_at": None,
        },
        "test_clock": customer["test_clock"],
        "total_discount_amounts": [
            {"amount": amount, "discount": discount} for discount, amount in discounts or []
        ],
        "total_pretax_credit_amounts": [],
        "total_taxes": [],
        "webhooks_delivered_at": None,
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
