"""Lines of invoices: a period of a subscription item, a proration, something added by hand.

Invariant: a line's amount is final; discounts stand beside it and are taken off the invoice's total.
"""

from typing import Any

from sandbox import store
from sandbox.store import Body


def line(
    *,
    amount: int,
    currency: str,
    description: str,
    period: tuple[int, int],
    price: Body | None = None,
    quantity: int = 1,
    item: Body | None = None,
    proration: bool = False,
    invoice_item: str | None = None,
) -> Body:
    """One line; `item` is the subscription item it bills, `period` Unix seconds."""
    return {
        "id": store.new_id("line_item"),
        "object": "line_item",
        "amount": amount,
        "currency": currency,
        "description": description,
        "discount_amounts": [],
        "discountable": not proration,
        "discounts": [],
        "invoice": None,
        "livemode": False,
        "metadata": {},
        "parent": _parent(item, proration, invoice_item),
        "period": {"start": period[0], "end": period[1]},
        "pretax_credit_amounts": None,
        "pricing": _pricing(price),
        "quantity": quantity,
        "quantity_decimal": str(quantity),
        "subscription": item["subscription"] if item else None,
        "subtotal": amount,
        "taxes": [],
    }


def _pricing(price: Body | None) -> dict[str, Any] | None:
    if price is None:
        return None
    return {
        "price_details": {"price": price["id"], "product": price["product"]},
        "type": "price_details",
        "unit_amount_decimal": price["unit_amount_decimal"],
    }


def _parent(item: Body | None, proration: bool, invoice_item: str | None) -> dict[str, Any] | None:
    details = {"credited_items": None}
    if item is not None:
        return {
            "invoice_item_details": None,
            "subscription_item_details": {
                "invoice_item": invoice_item,
                "proration": proration,
                "proration_details": details,
                "subscription": item["subscription"],
                "subscription_item": item["id"],
            },
            "type": "subscription_item_details",
        }
    if invoice_item is None:
        return None
    return {
        "invoice_item_details": {
            "invoice_item": invoice_item,
            "proration": proration,
            "proration_details": details,
            "subscription": None,
        },
        "subscription_item_details": None,
        "type": "invoice_item_details",
    }


def of_period(item: Body) -> Body:
    """The line that bills an item for its current period."""
    price, quantity = item["price"], item["quantity"]
    name = store.get("product", price["product"])["name"]
    every = price["recurring"]["interval"]
    return line(
        amount=price["unit_amount"] * quantity,
        currency=price["currency"],
        description=f"{quantity} × {name} (at {price['unit_amount']} {price['currency']} / {every})",
        period=(item["current_period_start"], item["current_period_end"]),
        price=price,
        quantity=quantity,
        item=item,
    )


def once(price: Body, quantity: int, instant: int) -> Body:
    """The line of a one-time price on a first invoice."""
    return line(
        amount=price["unit_amount"] * quantity,
        currency=price["currency"],
        description=store.get("product", price["product"])["name"],
        period=(instant, instant),
        price=price,
        quantity=quantity,
        invoice_item=store.new_id("invoiceitem"),
    )
