"""Charges: one try to take money by one payment method, successful, failed or pending.

Invariant: a charge never changes its amount; what was given back of it is in `amount_refunded`.
"""

import copy

from django.conf import settings

from sandbox import store
from sandbox.calls import Call
from sandbox.objects import balance, customers, defaults, events, payment_methods, stripe_test_cards
from sandbox.store import Body


def _details(method: Body, authenticated: bool) -> Body:
    kind = method["type"]
    if kind != "card":
        return {"type": kind, kind: _later_details(kind)}
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


def _later_details(kind: str) -> Body:
    if kind == "alipay":
        return {"buyer_id": None, "fingerprint": None, "transaction_id": None}
    if kind == "wechat_pay":
        return {"fingerprint": None, "location": None, "reader": None, "transaction_id": None}
    if kind == "sepa_debit":
        return {"bank_code": "37040044", "branch_code": None, "country": "DE", "expected_debit_date": None}
    return {}


def new(
    intent: Body, method: Body, call: Call, *, status: str, decline: str = "", authenticated: bool = False
) -> Body:
    """Write a charge of a payment intent: `status` is succeeded, pending or failed (with a decline code)."""
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
    if status == "succeeded":
        _book(body, call)
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


def _book(charge: Body, call: Call) -> None:
    movement = balance.book(
        "charge" if charge["payment_method_details"]["type"] == "card" else "payment",
        charge,
        call,
        amount=charge["amount"],
        fee=balance.fee_of_charge(charge["amount"]),
        category="charge",
        description=charge["description"] or "",
    )
    charge["balance_transaction"] = movement["id"]
    store.save(charge)


def settle(charge: Body, call: Call, *, succeeded: bool) -> None:
    """A pending charge is settled, or it fails."""
    if succeeded:
        charge |= {"status": "succeeded", "paid": True, "captured": True, "amount_captured": charge["amount"]}
        charge["receipt_url"] = f"{settings.SITE_URL}/sandbox/receipt/{charge['id']}"
        _book(charge, call)
    else:
        charge |= {
            "status": "failed",
            "failure_code": "insufficient_funds",
            "failure_message": "The bank refused the payment.",
        }
    store.save(charge)
    events.record(f"charge.{charge['status']}", charge, call)


def behaviour(charge: Body) -> stripe_test_cards.TestCard:
    """The test card behind a charge (that of a plain Visa for other methods)."""
    method = store.find("payment_method", charge["payment_method"]) or {}
    return payment_methods.test_card(method)


def retrieve(call: Call) -> Body:
    return store.get("charge", call.ids["charge"])


def list_charges(call: Call) -> Body:
    return store.listing(
        "charge",
        call,
        "/v1/charges",
        customer=call.params.get("customer"),
        payment_intent=call.params.get("payment_intent"),
    )


def update(call: Call) -> Body:
    body = retrieve(call)
    if "metadata" in call.params:
        customers.merge_metadata(body, call.params["metadata"])
    for name in ("description", "receipt_email"):
        if name in call.params:
            body[name] = call.params[name]
    store.save(body)
    events.record("charge.updated", body, call)
    return body
