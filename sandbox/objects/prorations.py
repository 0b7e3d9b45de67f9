"""What changing a subscription's items costs: credit for unused time, charge for the time that remains.

Invariant: the preview and the change use this one computation, so that a person pays what was shown.
"""

import copy
import dataclasses
from datetime import UTC, datetime
from typing import Any

from sandbox import errors, store
from sandbox.calls import Call
from sandbox.objects import invoice_lines, periods, prices
from sandbox.store import Body


@dataclasses.dataclass(frozen=True)
class Change:
    """The items as they will be, the lines the change makes, and whether the billing cycle begins anew."""

    items: list[Body]
    lines: list[Body]
    restarts: bool


def change(
    subscription: Body, given: list[dict[str, Any]], call: Call, *, at: int, behaviour: str, anchor_now: bool
) -> Change:
    """Work out a change of items at an instant (Unix seconds). Raises StripeError for unknown items."""
    before = subscription["items"]["data"]
    after = _changed_items(before, given, call, subscription)
    trial = subscription["status"] == "trialing"
    restarts = anchor_now or _interval(before) != _interval(after)
    lines: list[Body] = []
    for old in before:
        new = next((item for item in after if item["id"] == old["id"]), None)
        if behaviour != "none" and not trial and (restarts or _differs(old, new)):
            lines.append(_credit(old, at))
    if restarts:
        # The anchor moves to the time of the call; `proration_date` dates the credit only
        # (https://docs.stripe.com/billing/subscriptions/billing-cycle).
        start = call.now
        for item in after:
            item["current_period_start"], item["current_period_end"] = periods.period_at(
                start, item["price"]["recurring"], start
            )
            if not trial:
                lines.append(invoice_lines.of_period(item))
        return Change(after, lines, restarts=True)
    for item in after:
        old_item = next((other for other in before if other["id"] == item["id"]), None)
        if behaviour != "none" and not trial and _differs(item, old_item):
            lines.append(_debit(item, at))
    return Change(after, lines, restarts=False)


def anchored_now(given: dict[str, Any]) -> bool:
    """Whether the parameters move the billing cycle anchor to the time of the call.

    An object with a `type`, since API version 2026-09-30
    (https://docs.stripe.com/changelog/endive/2026-09-30/polymorphic-billing-cycle-anchor).
    """
    return (given.get("billing_cycle_anchor") or {}).get("type") == "now"


def _interval(items: list[Body]) -> tuple[str, int]:
    recurring = items[0]["price"]["recurring"]
    return recurring["interval"], recurring["interval_count"]


def _differs(one: Body, other: Body | None) -> bool:
    return other is None or (one["price"]["id"], one["quantity"]) != (other["price"]["id"], other["quantity"])


def _changed_items(
    before: list[Body], given: list[dict[str, Any]], call: Call, subscription: Body
) -> list[Body]:
    after = copy.deepcopy(before)
    for index, wanted in enumerate(given):
        if "id" not in wanted:
            after.append(new_item(wanted, index, call, subscription, like=after[0] if after else None))
            continue
        item = next((item for item in after if item["id"] == wanted["id"]), None)
        if item is None:
            raise errors.unknown_object("subscription_item", wanted["id"], f"items[{index}][id]")
        if wanted.get("deleted"):
            after.remove(item)
            continue
        if wanted.get("price") or wanted.get("price_data"):
            item["price"] = _recurring_price(wanted, index, call)
            item["plan"] = prices.legacy_plan(item["price"])
        item["quantity"] = wanted.get("quantity", item["quantity"])
        if "metadata" in wanted:
            item["metadata"] = wanted["metadata"] or {}
    if not after:
        raise errors.StripeError("A subscription must have at least one active item.", param="items")
    if len({(_interval([item]), item["price"]["currency"]) for item in after}) != 1:
        raise errors.StripeError(
            "All prices of a subscription must have the same currency and interval.", param="items"
        )
    return after


def _recurring_price(wanted: dict[str, Any], index: int, call: Call) -> Body:
    price = prices.price_of(wanted, call, f"items[{index}][price]")
    if not price["recurring"]:
        raise errors.StripeError(f"The price {price['id']} is not recurring.", param=f"items[{index}][price]")
    return price


def new_item(
    wanted: dict[str, Any], index: int, call: Call, subscription: Body, *, like: Body | None = None
) -> Body:
    """A subscription item, its period that of the item beside it (or from the call's instant on)."""
    price = _recurring_price(wanted, index, call)
    start, end = (
        (like["current_period_start"], like["current_period_end"])
        if like
        else periods.period_at(subscription["billing_cycle_anchor"], price["recurring"], call.now)
    )
    return {
        "id": store.new_id("subscription_item"),
        "object": "subscription_item",
        "billing_thresholds": None,
        "created": call.now,
        "current_period_end": end,
        "current_period_start": start,
        "discounts": [],
        "metadata": wanted.get("metadata") or {},
        "plan": prices.legacy_plan(price),
        "price": price,
        "quantity": wanted.get("quantity", 1),
        "subscription": subscription["id"],
        "tax_rates": [],
    }


def _part(item: Body, at: int) -> tuple[int, int]:
    start, end = item["current_period_start"], item["current_period_end"]
    return max(0, end - max(at, start)), end - start


def unused(subscription: Body, at: int) -> list[Body]:
    """Credit lines for the rest of the period of a subscription that ends now."""
    return [_credit(item, at) for item in subscription["items"]["data"]]


def _credit(item: Body, at: int) -> Body:
    return _proration(item, at, "Unused time on", -1)


def _debit(item: Body, at: int) -> Body:
    return _proration(item, at, "Remaining time on", 1)


def _proration(item: Body, at: int, words: str, sign: int) -> Body:
    remaining, whole = _part(item, at)
    name = store.get("product", item["price"]["product"])["name"]
    day = datetime.fromtimestamp(at, tz=UTC)
    return invoice_lines.line(
        amount=periods.share(sign * item["price"]["unit_amount"] * item["quantity"], remaining, whole),
        currency=item["price"]["currency"],
        description=f"{words} {name} after {day:%d %b %Y}",
        period=(at, item["current_period_end"]),
        price=item["price"],
        quantity=item["quantity"],
        item=item,
        proration=True,
        invoice_item=store.new_id("invoiceitem"),
    )
