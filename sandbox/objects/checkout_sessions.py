"""Checkout Sessions: what is offered on the hosted page, for how long, and where the buyer goes after it.

Invariant: a session completes at most once; an expired one never does. Amounts are fixed when the session
is made (a promotion code that the buyer types may lower them).
"""

from typing import Any

from sandbox import errors, store
from sandbox.calls import Call
from sandbox.objects import checkout_bodies, checkout_orders, customers, discounts, events, payment_intents
from sandbox.store import Body

SHORTEST, LONGEST = 30 * 60, 24 * 3600
ECHOED = [
    "allow_promotion_codes",
    "billing_address_collection",
    "client_reference_id",
    "consent_collection",
    "custom_text",
    "customer_email",
    "integration_identifier",
    "locale",
    "metadata",
    "phone_number_collection",
    "submit_type",
    "tax_id_collection",
    "payment_method_collection",
    "allowed_payment_method_types",
    "excluded_payment_method_types",
    "saved_payment_method_options",
    "payment_method_options",
    "branding_settings",
    "customer_update",
    "origin_context",
]


def create(call: Call) -> Body:
    """A session, open until it is paid or expires."""
    given = call.params
    mode = given.get("mode", "payment")
    checkout_orders.check(given, mode)
    lines = [
        checkout_orders.line(line, index, call) for index, line in enumerate(given.get("line_items") or [])
    ]
    if mode != "setup":
        checkout_orders.check_lines(lines, mode)
    currency = lines[0]["currency"] if lines else given.get("currency", "usd")
    body = checkout_bodies.blank(call, mode, currency)
    body |= {name: given[name] for name in ECHOED if name in given and name != "customer_update"}
    body |= {
        "_intent_data": given.get("payment_intent_data") or {},
        "_subscription_data": given.get("subscription_data") or {},
        "_setup_data": given.get("setup_intent_data") or {},
        "_invoice_creation": bool((given.get("invoice_creation") or {}).get("enabled")),
        "_line_items": lines,
        "cancel_url": given.get("cancel_url"),
        "customer": given.get("customer"),
        "customer_creation": given.get("customer_creation", "if_required" if mode == "payment" else "always"),
        "expires_at": given.get("expires_at", call.now + LONGEST),
        "success_url": given.get("success_url"),
    }
    if body["customer"] or mode == "setup":
        body["customer_creation"] = None
    body["payment_method_types"] = checkout_orders.method_types(given, currency, mode, body["customer"])
    body["discounts"] = [_discount(discount) for discount in given.get("discounts") or []]
    total(body, call)
    if mode == "payment" and body["amount_total"]:
        payment_intents.check_amount(body["amount_total"], currency)
    return store.add(body)


def _discount(given: dict[str, Any]) -> Body:
    return {"coupon": given.get("coupon"), "promotion_code": given.get("promotion_code")}


def total(body: Body, call: Call) -> None:
    """Work out subtotal, discount and total from the lines."""
    lines = body["_line_items"]
    if body["mode"] == "setup":
        return
    subtotal = sum(line["amount_subtotal"] for line in lines)
    off = 0
    for discount in body["discounts"]:
        off = discounts.taken_off(subtotal, discounts.coupon_of(discount, call), body["currency"])
    rest = off
    for line in lines:
        line["amount_discount"] = (
            rest if line is lines[-1] else min(rest, off * line["amount_subtotal"] // (subtotal or 1))
        )
        line["amount_total"] = line["amount_subtotal"] - line["amount_discount"]
        rest -= line["amount_discount"]
    body |= {
        "amount_subtotal": subtotal,
        "amount_total": subtotal - off,
        "total_details": {"amount_discount": off, "amount_shipping": 0, "amount_tax": 0},
    }


def retrieve(call: Call) -> Body:
    return lapse(store.get("checkout.session", call.ids["session"]), call)


def lapse(body: Body, call: Call) -> Body:
    """Expire an open session whose time is over."""
    if body["status"] == "open" and body["expires_at"] <= call.now:
        return _expire(body, call)
    return body


def expire(call: Call) -> Body:
    body = retrieve(call)
    if body["status"] != "open":
        raise errors.StripeError(
            'Only Checkout Sessions with a status in ["open"] can be expired.', code="resource_invalid_state"
        )
    return _expire(body, call)


def _expire(body: Body, call: Call) -> Body:
    body |= {"status": "expired", "url": None}
    store.save(body)
    events.record("checkout.session.expired", body, call)
    return body


def list_sessions(call: Call) -> Body:
    filters = {
        name: call.params.get(name) for name in ("customer", "payment_intent", "status", "subscription")
    }
    return store.listing("checkout.session", call, "/v1/checkout/sessions", **filters)


def list_line_items(call: Call) -> Body:
    return line_items(store.get("checkout.session", call.ids["session"]))


def line_items(body: Body) -> Body:
    url = f"/v1/checkout/sessions/{body['id']}/line_items"
    return {"object": "list", "url": url, "has_more": False, "data": body["_line_items"]}


def update(call: Call) -> Body:
    body = retrieve(call)
    if "metadata" in call.params:
        customers.merge_metadata(body, call.params["metadata"])
    return store.save(body)
