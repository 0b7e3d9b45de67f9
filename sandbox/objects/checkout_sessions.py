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
from sandbox.objects import amounts, defaults, events, payment_intents, payment_methods, prices, taxes
from sandbox.store import Body

VALID_SECONDS, SHORTEST_SECONDS = 24 * 3600, 30 * 60
# The parameters that belong to one mode only.
MODE_OF = {"payment_intent_data": "payment", "subscription_data": "subscription"}
COPIED = (
    "allowed_payment_method_types",
    "billing_address_collection",
    "client_reference_id",
    "locale",
    "metadata",
    "payment_method_options",
)


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
        "_customer_update": params.get("customer_update") or {},
        "_intent_data": params.get("payment_intent_data") or {},
        "_line_items": lines,
        "_subscription_data": params.get("subscription_data") or {},
        "cancel_url": params.get("cancel_url"),
        "created": call.now,
        "currency": None if mode == "setup" else currency,
        "customer": params["customer"],
        "customer_creation": None,
        "expires_at": _expires_at(params, call),
        "mode": mode,
        "payment_method_collection": "always" if mode == "subscription" else None,
        "payment_method_types": _method_types(params, currency, mode),
        "payment_status": "no_payment_required" if mode == "setup" else "unpaid",
        "success_url": params["success_url"],
        "url": f"{settings.SITE_URL}/sandbox/checkout/{session_id}",
    }
    body |= {name: params[name] for name in COPIED if name in params}
    if (params.get("tax_id_collection") or {}).get("enabled"):
        body["tax_id_collection"] = {"enabled": True, "required": "never"}
    if (params.get("automatic_tax") or {}).get("enabled"):
        status = "requires_location_inputs"  # until the buyer enters an address
        body["automatic_tax"] = {
            "enabled": True,
            "liability": {"type": "self"},
            "provider": "stripe",
            "status": status,
        }
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
    taxes.check_session(params, store.get("customer", params["customer"], "customer"))
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


def _expires_at(params: dict[str, Any], call: Call) -> int:
    """https://docs.stripe.com/api/checkout/sessions/create#create_checkout_session-expires_at"""
    expires_at = int(params.get("expires_at", call.now + VALID_SECONDS))
    if expires_at < call.now + SHORTEST_SECONDS:
        raise errors.StripeError(
            "The `expires_at` timestamp must be at least 30 minutes from Checkout Session creation.",
            param="expires_at",
        )
    if expires_at > call.now + VALID_SECONDS:
        raise errors.StripeError(
            "The `expires_at` timestamp must be less than 24 hours from Checkout Session creation.",
            param="expires_at",
        )
    return expires_at


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
    """The types on the page. A listed type that the mode or the currency excludes is left out.

    An error only when none is left. The seller's dashboard, which may disable types too, is not modelled.
    https://docs.stripe.com/changelog/endive/2026-09-30/remove-payment-method-types-checkout-sessions,
    https://docs.stripe.com/payments/payment-methods/payment-method-support#product-support
    """
    allowed = params.get("allowed_payment_method_types")
    found = payment_methods.types_for(currency, allowed)
    if mode != "payment" or (params.get("payment_intent_data") or {}).get("setup_future_usage"):
        found = [name for name in found if name in payment_methods.REUSABLE]
    options = params.get("payment_method_options") or {}
    # Both options have no default: https://docs.stripe.com/payments/wechat-pay/accept-a-payment and
    # https://docs.stripe.com/payments/bank-transfers/accept-a-payment
    if allowed and "wechat_pay" in found and (options.get("wechat_pay") or {}).get("client") != "web":
        raise errors.missing("payment_method_options[wechat_pay][client]")
    if allowed and "customer_balance" in found:
        _check_transfer(options.get("customer_balance") or {}, currency)
    if not found:
        raise errors.StripeError(
            "No valid payment method types for this Checkout Session.", param="allowed_payment_method_types"
        )
    return found


def _check_transfer(options: dict[str, Any], currency: str) -> None:
    """The options of bank transfers, whose type belongs to the currency."""
    path = "payment_method_options[customer_balance]"
    if options.get("funding_type") != "bank_transfer":
        raise errors.missing(f"{path}[funding_type]")
    transfer = options.get("bank_transfer") or {}
    if transfer.get("type") != payment_intents.TRANSFERS[currency]:
        raise errors.StripeError(
            f"The bank transfer type must be {payment_intents.TRANSFERS[currency]} for {currency}.",
            param=f"{path}[bank_transfer][type]",
        )
    if currency == "eur" and not (transfer.get("eu_bank_transfer") or {}).get("country"):
        raise errors.missing(f"{path}[bank_transfer][eu_bank_transfer][country]")


def retrieve(call: Call) -> Body:
    return expire_if_due(store.get("checkout.session", call.ids["session"]), call)


def list_sessions(call: Call) -> Body:
    filters = {name: call.params.get(name) for name in ("customer", "payment_intent", "status")}
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
