"""What a Checkout Session is asked to sell: is it a sound order, which lines has it, how can it be paid?

Invariant: the lines of a session have one currency, and only a subscription sells what recurs.
"""

from typing import Any

from sandbox import errors, store
from sandbox.calls import Call
from sandbox.objects import payment_methods, prices
from sandbox.store import Body


def check(given: dict[str, Any], mode: str) -> None:
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
            raise errors.StripeError(
                "You may only specify one of these parameters: customer, customer_email.", param="customer"
            )
    if given.get("discounts") and given.get("allow_promotion_codes"):
        raise errors.StripeError(
            "You may only specify one of these parameters: allow_promotion_codes, discounts.",
            param="discounts",
        )
    _check_parts(given, mode)


def _check_parts(given: dict[str, Any], mode: str) -> None:
    owners = {
        "payment_intent_data": "payment",
        "subscription_data": "subscription",
        "setup_intent_data": "setup",
    }
    for name, owner in owners.items():
        if given.get(name) and mode != owner:
            raise errors.StripeError(f"You can not pass `{name}` in `{mode}` mode.", param=name)


def method_types(given: dict[str, Any], currency: str, mode: str, customer: str | None) -> list[str]:
    found = payment_methods.offered(
        currency, given.get("allowed_payment_method_types"), given.get("excluded_payment_method_types")
    )
    reusable = mode != "payment" or (given.get("payment_intent_data") or {}).get("setup_future_usage")
    if reusable:
        found = [name for name in found if name in payment_methods.REUSABLE]
    if not customer:
        found = [name for name in found if name != "customer_balance"]
    if not found:
        raise errors.StripeError(
            "No valid payment method types for this Checkout Session.", param="allowed_payment_method_types"
        )
    return found


def line(given: dict[str, Any], index: int, call: Call) -> Body:
    price = prices.price_of(given, call, f"line_items[{index}][price]")
    quantity = given.get("quantity", 1)
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
        "description": store.get("product", price["product"])["name"],
        "metadata": given.get("metadata") or {},
        "price": price,
        "quantity": quantity,
    }


def check_lines(lines: list[Body], mode: str) -> None:
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
