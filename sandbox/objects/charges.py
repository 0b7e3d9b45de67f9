"""Charges: one attempt to collect a payment by one payment method: succeeded, failed or pending.

Invariant: the amount of a charge never changes; what was refunded is in `amount_refunded`.
https://docs.stripe.com/api/charges
"""

import copy

from django.conf import settings

from sandbox import store
from sandbox.calls import Call
from sandbox.objects import defaults, events, payment_methods, stripe_test_cards
from sandbox.store import Body


def _details(method: Body, authenticated: bool) -> Body:
    kind = method["type"]
    if kind != "card":
        return {"type": kind, kind: _details_without_card(method)}
    card = method["card"]
    secure = None
    if authenticated:
        secure = {
            "authentication_flow": "challenge",
            "electronic_commerce_indicator": "05",
            "exemption_indicator": None,
            "exemption_indicator_applied": False,
            "result": "authenticated",
            "result_reason": None,
            "transaction_id": None,
            "version": "2.2.0",
        }
    shown = {
        name: card[name]
        for name in ("brand", "checks", "country", "exp_month", "exp_year", "fingerprint", "funding", "last4")
    }
    return {
        "type": "card",
        "card": shown
        | {
            "amount_authorized": None,
            "authorization_code": None,
            "extended_authorization": {"status": "disabled"},
            "incremental_authorization": {"status": "unavailable"},
            "installments": None,
            "mandate": None,
            "multicapture": {"status": "unavailable"},
            "network": card["brand"],
            "network_token": {"used": False},
            "network_transaction_id": None,
            "overcapture": {"maximum_amount_capturable": 0, "status": "unavailable"},
            "regulated_status": "unregulated",
            "three_d_secure": secure,
            "transaction_link_id": None,
            "wallet": None,
        },
    }


def _details_without_card(method: Body) -> Body:
    kind = method["type"]
    if kind == "alipay":
        return {"buyer_id": None, "fingerprint": None, "transaction_id": None}
    if kind == "sepa_debit":
        bank = {
            name: method[kind][name]
            for name in ("bank_code", "branch_code", "country", "fingerprint", "last4")
        }
        return bank | {"mandate": None}
    if kind == "wechat_pay":
        return {"fingerprint": None, "location": None, "reader": None, "transaction_id": None}
    return {}


def new(
    intent: Body, method: Body, call: Call, *, status: str, decline: str = "", authenticated: bool = False
) -> Body:
    """A charge of a payment intent; `status` is succeeded, pending or failed (with a decline code)."""
    code, message = stripe_test_cards.DECLINES.get(decline, (None, None))
    body = copy.deepcopy(defaults.CHARGE) | {
        "id": store.new_id("charge"),
        "amount": intent["amount"],
        "amount_captured": intent["amount"] if status == "succeeded" else 0,
        "billing_details": method["billing_details"],
        "captured": status == "succeeded",
        "created": call.now,
        "currency": intent["currency"],
        "customer": intent["customer"],
        "description": intent["description"],
        "failure_code": code,
        "failure_message": message,
        "metadata": dict(intent["metadata"]),
        "outcome": _outcome(status, decline, message),
        "paid": status == "succeeded",
        "payment_intent": intent["id"],
        "payment_method": method["id"],
        "payment_method_details": _details(method, authenticated),
        "receipt_email": intent["receipt_email"],
        "status": status,
    }
    body["receipt_url"] = (
        f"{settings.SITE_URL}/sandbox/receipt/{body['id']}" if status == "succeeded" else None
    )
    store.add(body)
    events.record(f"charge.{status}", body, call)
    return body


def _outcome(status: str, decline: str, message: str | None) -> Body:
    return {
        "advice_code": "try_again_later" if decline in ("insufficient_funds", "processing_error") else None,
        "network_advice_code": None,
        "network_decline_code": None,
        "network_status": "declined_by_network" if status == "failed" else "approved_by_network",
        "reason": decline or None,
        "risk_level": "normal",
        "seller_message": message or "Payment complete.",
        "type": "issuer_declined" if status == "failed" else "authorized",
    }


def settle(charge: Body, call: Call, *, succeeded: bool) -> None:
    """Complete a pending charge, successfully or not."""
    if succeeded:
        charge |= {"status": "succeeded", "paid": True, "captured": True, "amount_captured": charge["amount"]}
        charge["receipt_url"] = f"{settings.SITE_URL}/sandbox/receipt/{charge['id']}"
    else:
        charge |= {
            "status": "failed",
            "failure_code": "insufficient_funds",
            "failure_message": "The bank refused the payment.",
        }
    store.save(charge)
    events.record(f"charge.{charge['status']}", charge, call)


def test_card_of(charge: Body) -> stripe_test_cards.TestCard:
    """The test card of a charge; the plain Visa card for other methods."""
    method = store.find("payment_method", charge["payment_method"]) or {}
    return payment_methods.test_card(method)


def retrieve(call: Call) -> Body:
    return store.get("charge", call.ids["charge"])
