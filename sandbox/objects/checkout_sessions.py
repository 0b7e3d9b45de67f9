"""Checkout sessions: what is sold on the hosted page, until when, and where the customer returns.

Invariant: a session completes at most once, and an expired session never completes. Its lines and amounts are
fixed at creation: they have one currency, and only a subscription has recurring prices.
https://docs.stripe.com/api/checkout/sessions
"""

import copy
from typing import Any

from django.conf import settings

from sandbox import errors, store
from sandbox.calls import Call
from sandbox.objects import amounts, defaults, events, payment_methods, prices
from sandbox.store import Body

VALID_SECONDS = 24 * 3600
# The parameters that belong to one mode only.
MODE_OF = {"payment_intent_data": "payment", "subscription_data": "subscription"}
COPIED = ("allowed_payment_method_types", "client_reference_id", "metadata", "payment_method_options")


def create(call: Call) -> Body:
    """A session that is open until it is paid or expires."""
    params = call.params
    mode = params.get("mode", "payment")
    _check(params, mode)
    lines = [_line(line, index, call) for index, line in enumerate(params.get("line_items") or [])]
    if mode != "setup":
        _check_lines(lines, mode)
    currency = lines[0]["currency"] if lines else params.get("currency", "usd")
    total = sum(line["amount_total"] for line in lines)
    session_id = store.new_id("checkout.session")
    body = copy.deepcopy(defaults.CHECKOUT_SESSION) | {
        "id": session_id,
        "_intent_data": params.get("payment_intent_data") or {},
        "_line_items": lines,
        "_subscription_data": params.get("subscription_data") or {},
        "cancel_url": params.get("cancel_url"),
        "created": call.now,
        "currency": None if mode == "setup" else currency,
        "customer": params["customer"],
        "customer_creation": None,
        "expires_at": call.now + VALID_SECONDS,
        "mode": mode,
        "payment_method_collection": "always" if mode == "subscription" else None,
        "payment_method_types": _method_types(params, currency, mode),
        "payment_status": "no_payment_required" if mode == "setup" else "unpaid",
        "success_url": params["success_url"],
        "url": f"{settings.SITE_URL}/sandbox/checkout/{session_id}",
    }
    body |= {name: params[name] for name in COPIED if name in params}
    if mode != "setup":
        body |= {
            "amount_subtotal": total,
            "amount_total": total,
            "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
        }
    if mode == "subscription" and not total:
        raise errors.unsupported("The sandbox has no free subscriptions.", param="line_items")
    if mode == "payment" and total:
        amounts.check(total, currency)
    return store.add(body)


def _check(params: dict[str, Any], mode: str) -> None:
    if not params.get("customer"):
        raise errors.unsupported("The sandbox requires a customer.", param="customer")
    store.get("customer", params["customer"], "customer")
    if not params.get("success_url"):
        raise errors.missing("success_url")
    for name in ("success_url", "cancel_url"):
        if params.get(name) and not params[name].startswith(("http://", "https://")):
            raise errors.StripeError("Not a valid URL", code="url_invalid", param=name)
    if mode != "setup" and not params.get("line_items"):
        raise errors.missing("line_items")
    for name, own_mode in MODE_OF.items():
        if params.get(name) and mode != own_mode:
            raise errors.StripeError(f"You can not pass `{name}` in `{mode}` mode.", param=name)


def _line(params: dict[str, Any], index: int, call: Call) -> Body:
    price = prices.price_of(params, call, f"line_items[{index}][price]")
    quantity = params.get("quantity", 1)
    if not 1 <= quantity <= 999_999:
        raise errors.StripeError(
            "This value must be greater than or equal to 1.", param=f"line_items[{index}][quantity]"
        )
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
        "description": prices.name_of(price),
        "metadata": params.get("metadata") or {},
        "price": price,
        "quantity": quantity,
    }


def _check_lines(lines: list[Body], mode: str) -> None:
    if len({line["currency"] for line in lines}) != 1:
        raise errors.StripeError(
            "All prices on a Checkout Session must use the same currency.", param="line_items"
        )
    recurring = [line for line in lines if line["price"]["recurring"]]
    if mode == "payment" and recurring:
        raise errors.StripeError(
            "You must use `subscription` mode if you use a recurring price.", param="line_items"
        )
    if mode == "subscription" and not recurring:
        raise errors.StripeError(
            "You must provide at least one recurring price in `subscription` mode.", param="line_items"
        )


def _method_types(params: dict[str, Any], currency: str, mode: str) -> list[str]:
    found = payment_methods.types_for(currency, params.get("allowed_payment_method_types"))
    if mode != "payment" or (params.get("payment_intent_data") or {}).get("setup_future_usage"):
        found = [name for name in found if name in payment_methods.REUSABLE]
    if not found:
        raise errors.StripeError(
            "No valid payment method types for this Checkout Session.", param="allowed_payment_method_types"
        )
    return found


def retrieve(call: Call) -> Body:
    return expire_if_due(store.get("checkout.session", call.ids["session"]), call)


def list_sessions(call: Call) -> Body:
    filters = {name: call.params.get(name) for name in ("customer", "payment_intent")}
    return store.listing("checkout.session", call, "/v1/checkout/sessions", **filters)


def expire(call: Call) -> Body:
    body = retrieve(call)
    if body["status"] != "open":
        raise errors.StripeError(
            'Only Checkout Sessions with a status in ["open"] can be expired.', code="resource_invalid_state"
        )
    return _expire(body, call)


def expire_if_due(body: Body, call: Call) -> Body:
    """Expire the session if it is open after `expires_at`."""
    if body["status"] == "open" and body["expires_at"] <= call.now:
        return _expire(body, call)
    return body


def _expire(body: Body, call: Call) -> Body:
    body |= {"status": "expired", "url": None}
    store.save(body)
    events.record("checkout.session.expired", body, call)
    return body


def complete(body: Body, call: Call, payment_status: str) -> Body:
    body |= {"status": "complete", "payment_status": payment_status, "url": None}
    store.save(body)
    events.record("checkout.session.completed", body, call)
    return body
