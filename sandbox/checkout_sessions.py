"""Checkout Sessions: what is offered on the hosted page, for how long, and where the buyer goes after it.

Invariant: a session completes at most once; an expired one never does. Amounts are fixed when the session is made
(a promotion code that the buyer types may lower them).
"""

from typing import Any

from django.conf import settings

from sandbox import catalog, customers, discounts, errors, events, payment_intents, payment_methods, store
from sandbox.calls import Call
from sandbox.store import Body

SHORTEST, LONGEST = 30 * 60, 24 * 3600
ECHOED = (
    "allow_promotion_codes billing_address_collection client_reference_id consent_collection custom_text customer_email "
    "integration_identifier locale metadata phone_number_collection submit_type tax_id_collection payment_method_collection "
    "allowed_payment_method_types excluded_payment_method_types saved_payment_method_options payment_method_options "
    "branding_settings customer_update origin_context"
).split()


def create(call: Call) -> Body:
    """A session, open until it is paid or expires."""
    given = call.params
    mode = given.get("mode", "payment")
    _check(given, mode)
    lines = [_line(line, index, call) for index, line in enumerate(given.get("line_items") or [])]
    if mode != "setup":
        _check_lines(lines, mode)
    currency = lines[0]["currency"] if lines else given.get("currency", "usd")
    body = _blank(call, mode, currency)
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
    body["payment_method_types"] = _types(given, currency, mode, body["customer"])
    body["discounts"] = [_discount(discount) for discount in given.get("discounts") or []]
    total(body, call)
    if mode == "payment" and body["amount_total"]:
        payment_intents.check_amount(body["amount_total"], currency)
    return store.add(body)


def _check(given: dict[str, Any], mode: str) -> None:
    if given.get("ui_mode", "hosted_page") != "hosted_page":
        raise errors.StripeError("The sandbox has hosted pages only.", param="ui_mode")
    if not given.get("success_url"):
        raise errors.missing("success_url")
    for name in ("success_url", "cancel_url"):
        if given.get(name) and not given[name].startswith(("http://", "https://")):
            raise errors.StripeError("Not a valid URL", code="url_invalid", param=name)
    if mode != "setup" and not given.get("line_items"):
        raise errors.missing("line_items")
    if given.get("customer"):
        store.get("customer", given["customer"], "customer")
        if given.get("customer_email") or given.get("customer_creation"):
            raise errors.StripeError("You may only specify one of these parameters: customer, customer_email.", param="customer")
    if given.get("discounts") and given.get("allow_promotion_codes"):
        raise errors.StripeError(
            "You may only specify one of these parameters: allow_promotion_codes, discounts.", param="discounts"
        )
    owners = {"payment_intent_data": "payment", "subscription_data": "subscription", "setup_intent_data": "setup"}
    for name, owner in owners.items():
        if given.get(name) and mode != owner:
            raise errors.StripeError(f"You can not pass `{name}` in `{mode}` mode.", param=name)


def _types(given: dict[str, Any], currency: str, mode: str, customer: str | None) -> list[str]:
    found = payment_methods.offered(
        currency, given.get("allowed_payment_method_types"), given.get("excluded_payment_method_types")
    )
    reusable = mode != "payment" or (given.get("payment_intent_data") or {}).get("setup_future_usage")
    if reusable:
        found = [name for name in found if name in payment_methods.REUSABLE]
    if not customer:
        found = [name for name in found if name != "customer_balance"]
    if not found:
        raise errors.StripeError("No valid payment method types for this Checkout Session.", param="allowed_payment_method_types")
    return found


def _line(given: dict[str, Any], index: int, call: Call) -> Body:
    price = catalog.price_of(given, call, f"line_items[{index}][price]")
    quantity = given.get("quantity", 1)
    if not 1 <= quantity <= 999_999:
        raise errors.StripeError("This value must be greater than or equal to 1.", param=f"line_items[{index}][quantity]")
    amount = price["unit_amount"] * quantity
    return {
        "id": store.new_id("item"),
        "object": "item",
        "adjustable_quantity": None,
        "amount_discount": 0,
        "amount_subtotal": amount,
        "amount_tax": 0,
        "amount_total": amount,
        "currency": price["currency"],
        "description": store.get("product", price["product"])["name"],
        "metadata": given.get("metadata") or {},
        "price": price,
        "quantity": quantity,
    }


def _check_lines(lines: list[Body], mode: str) -> None:
    if len({line["currency"] for line in lines}) != 1:
        raise errors.StripeError("All prices on a Checkout Session must use the same currency.", param="line_items")
    recurring = [line for line in lines if line["price"]["recurring"]]
    if mode == "payment" and recurring:
        raise errors.StripeError("You must use `subscription` mode if you use a recurring price.", param="line_items")
    if mode == "subscription" and not recurring:
        raise errors.StripeError("You must provide at least one recurring price in `subscription` mode.", param="line_items")


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
        line["amount_discount"] = rest if line is lines[-1] else min(rest, off * line["amount_subtotal"] // (subtotal or 1))
        line["amount_total"] = line["amount_subtotal"] - line["amount_discount"]
        rest -= line["amount_discount"]
    body |= {
        "amount_subtotal": subtotal,
        "amount_total": subtotal - off,
        "total_details": {"amount_discount": off, "amount_shipping": 0, "amount_tax": 0},
    }


def _blank(call: Call, mode: str, currency: str) -> Body:
    session_id = store.new_id("checkout.session")
    return {
        "id": session_id,
        "object": "checkout.session",
        "adaptive_pricing": None,
        "after_expiration": None,
        "allow_promotion_codes": None,
        "amount_subtotal": None,
        "amount_total": None,
        "automatic_tax": {"enabled": False, "liability": None, "provider": None, "status": None},
        "billing_address_collection": None,
        "client_reference_id": None,
        "client_secret": None,
        "collected_information": None,
        "consent": None,
        "consent_collection": None,
        "created": call.now,
        "currency": None if mode == "setup" else currency,
        "currency_conversion": None,
        "custom_fields": [],
        "custom_text": {"after_submit": None, "shipping_address": None, "submit": None, "terms_of_service_acceptance": None},
        "customer_account": None,
        "customer_details": None,
        "customer_email": None,
        "discounts": [],
        "invoice": None,
        "invoice_creation": None,
        "livemode": False,
        "locale": None,
        "metadata": {},
        "mode": mode,
        "origin_context": None,
        "payment_intent": None,
        "payment_link": None,
        "payment_method_collection": "always" if mode == "subscription" else None,
        "payment_method_configuration_details": None,
        "payment_method_options": {},
        "payment_status": "no_payment_required" if mode == "setup" else "unpaid",
        "permissions": None,
        "phone_number_collection": {"enabled": False},
        "recovered_from": None,
        "redirect_on_completion": None,
        "saved_payment_method_options": None,
        "setup_intent": None,
        "shipping_address_collection": None,
        "shipping_cost": None,
        "shipping_options": [],
        "status": "open",
        "submit_type": None,
        "subscription": None,
        "total_details": None,
        "ui_mode": "hosted_page",
        "url": f"{settings.SITE_URL}/sandbox/checkout/{session_id}",
        "wallet_options": None,
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
        raise errors.StripeError("Only Checkout Sessions with a status in [\"open\"] can be expired.", code="resource_invalid_state")
    return _expire(body, call)


def _expire(body: Body, call: Call) -> Body:
    body |= {"status": "expired", "url": None}
    store.save(body)
    events.record("checkout.session.expired", body, call)
    return body


def list_sessions(call: Call) -> Body:
    filters = {name: call.params.get(name) for name in ("customer", "payment_intent", "status", "subscription")}
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
