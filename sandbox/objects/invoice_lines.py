"""Invoice lines: a period of a subscription item, a proration, or a one-time price.

Invariant: the amount of a line never changes.
https://docs.stripe.com/api/invoice-line-item
"""

from typing import Any

from sandbox import store
from sandbox.objects import prices
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
    credited: Body | None = None,
) -> Body:
    """A line; `item` is its subscription item, `period` its start and end in Unix seconds.

    `credited`: the line of a debit that this line credits
    (https://docs.stripe.com/billing/subscriptions/prorations#credit-proration-debit-links).
    """
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
        "parent": _parent(item, proration, invoice_item, credited),
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


def _parent(
    item: Body | None, proration: bool, invoice_item: str | None, credited: Body | None
) -> dict[str, Any] | None:
    items = {"invoice": credited["invoice"], "invoice_line_items": [credited["id"]]} if credited else None
    details = {"credited_items": items}
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
    """The line for the current period of an item."""
    price, quantity = item["price"], item["quantity"]
    each = f"{price['unit_amount']} {price['currency']} / {price['recurring']['interval']}"
    return line(
        amount=price["unit_amount"] * quantity,
        currency=price["currency"],
        description=f"{quantity} × {prices.name_of(price)} (at {each})",
        period=(item["current_period_start"], item["current_period_end"]),
        price=price,
        quantity=quantity,
        item=item,
    )


def of_one_time_price(price: Body, quantity: int, now: int) -> Body:
    """The line for a one-time price on a first invoice."""
    return line(
        amount=price["unit_amount"] * quantity,
        currency=price["currency"],
        description=prices.name_of(price),
        period=(now, now),
        price=price,
        quantity=quantity,
        invoice_item=store.new_id("invoiceitem"),
    )
