"""Items of subscriptions: their price and period, and what a change of price costs.

Invariant: the preview and the change use the same computation. Periods are counted from the anchor, in UTC,
so that a subscription of the 31st renews on the last day of shorter months. What is credited for unused time
depends on the billing mode (sandbox.objects.credited_debits).
https://docs.stripe.com/billing/subscriptions/prorations and
https://docs.stripe.com/billing/subscriptions/billing-cycle
"""

import calendar
import copy
import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any

from sandbox import errors, store
from sandbox.calls import Call
from sandbox.objects import credited_debits, invoice_lines, prices
from sandbox.store import Body


@dataclasses.dataclass(frozen=True)
class Change:
    """The changed items, the invoice lines of the change, and whether it starts a new billing cycle."""

    items: list[Body]
    lines: list[Body]
    restarts: bool


def new(price: Body, quantity: int, subscription: Body, call: Call) -> Body:
    """An item whose first period starts at the subscription's anchor."""
    start, end = period_at(subscription["billing_cycle_anchor"], price["recurring"], call.now)
    return {
        "id": store.new_id("subscription_item"),
        "object": "subscription_item",
        "billing_thresholds": None,
        "created": call.now,
        "current_period_end": end,
        "current_period_start": start,
        "discounts": [],
        "metadata": {},
        "plan": prices.legacy_plan(price),
        "price": price,
        "quantity": quantity,
        "subscription": subscription["id"],
        "tax_rates": [],
    }


def change(subscription: Body, params: dict[str, Any], call: Call) -> Change:
    """Compute a change of prices from the parameters of an update or a preview.

    `proration_behavior` is always_invoice or none; `proration_date` (Unix seconds) dates the prorations.
    Another interval, or a billing_cycle_anchor of type "now", starts a new billing cycle at the time of the
    call. Raises StripeError for unknown items.
    """
    behaviour = params.get("proration_behavior", "create_prorations")
    if behaviour == "create_prorations":
        raise errors.unsupported(
            "The sandbox supports always_invoice and none only.", param="proration_behavior"
        )
    at = params.get("proration_date", call.now)
    before = subscription["items"]["data"]
    after = _with_prices(before, params.get("items") or [], call)
    restarts = _anchored_now(params) or _interval(before) != _interval(after)
    changed = [
        (old, new) for old, new in zip(before, after, strict=True) if restarts or _terms(old) != _terms(new)
    ]
    prorates = behaviour != "none"
    lines = [line for old, _ in changed for line in _credits(subscription, old, at)] if prorates else []
    if restarts:
        # proration_date does not date the new cycle
        # (https://docs.stripe.com/billing/subscriptions/billing-cycle).
        for item in after:
            item["current_period_start"], item["current_period_end"] = period_at(
                call.now, item["price"]["recurring"], call.now
            )
            lines.append(invoice_lines.of_period(item))
    elif prorates:
        lines += [_remaining_time(new, at) for _, new in changed]
    return Change(after, lines, restarts)


def _anchored_now(params: dict[str, Any]) -> bool:
    """Whether the parameters move the billing cycle anchor to the time of the call.

    An object with a `type` since API version 2026-09-30
    (https://docs.stripe.com/changelog/endive/2026-09-30/polymorphic-billing-cycle-anchor).
    """
    anchor = params.get("billing_cycle_anchor") or {}
    if anchor and anchor.get("type") != "now":
        raise errors.unsupported("The sandbox supports the type now only.", param="billing_cycle_anchor")
    return bool(anchor)


def _with_prices(before: list[Body], params: list[dict[str, Any]], call: Call) -> list[Body]:
    after = copy.deepcopy(before)
    for index, item_params in enumerate(params):
        if set(item_params) != {"id", "price"}:
            raise errors.unsupported("The sandbox changes the price of existing items only.", param="items")
        item = next((item for item in after if item["id"] == item_params["id"]), None)
        if item is None:
            raise errors.unknown_object("subscription_item", item_params["id"], f"items[{index}][id]")
        item["price"] = recurring_price(item_params, index, call)
        item["plan"] = prices.legacy_plan(item["price"])
    if len({(_interval([item]), item["price"]["currency"]) for item in after}) != 1:
        raise errors.StripeError(
            "All prices of a subscription must have the same currency and interval.", param="items"
        )
    return after


def recurring_price(params: dict[str, Any], index: int, call: Call) -> Body:
    """The price of the item at `index` of a request. Raises StripeError if it is not recurring."""
    price = prices.price_of(params, call, f"items[{index}][price]")
    if not price["recurring"]:
        raise errors.StripeError(f"The price {price['id']} is not recurring.", param=f"items[{index}][price]")
    return price


def _interval(items: list[Body]) -> tuple[str, int]:
    recurring = items[0]["price"]["recurring"]
    return recurring["interval"], recurring["interval_count"]


def _terms(item: Body) -> tuple[str, int]:
    return item["price"]["id"], item["quantity"]


def _credits(subscription: Body, item: Body, at: int) -> list[Body]:
    """The credits for the unused time of an item.

    Classic billing mode credits the current price, flexible billing mode what was debited, with a credit for
    each debit (https://docs.stripe.com/billing/subscriptions/billing-mode/compare).
    """
    if subscription["billing_mode"]["type"] == "flexible":
        return [
            _proration(
                item,
                amount=-_share(debit["amount"], *_unused(debit["period"], at)),
                label="Unused time on",
                period=(at, debit["period"]["end"]),
                price=store.get("price", debit["pricing"]["price_details"]["price"]),
                credited=debit,
            )
            for debit in credited_debits.open_debits(subscription, item)
        ]
    period = {"start": item["current_period_start"], "end": item["current_period_end"]}
    amount = -_share(item["price"]["unit_amount"] * item["quantity"], *_unused(period, at))
    until = item["current_period_end"]
    return [_proration(item, amount=amount, label="Unused time on", period=(at, until), price=item["price"])]


def _remaining_time(item: Body, at: int) -> Body:
    start, end = item["current_period_start"], item["current_period_end"]
    amount = _share(
        item["price"]["unit_amount"] * item["quantity"], *_unused({"start": start, "end": end}, at)
    )
    return _proration(item, amount=amount, label="Remaining time on", period=(at, end), price=item["price"])


def _unused(period: dict[str, int], at: int) -> tuple[int, int]:
    """The seconds of a period that are left at an instant, and all of its seconds."""
    start, end = period["start"], period["end"]
    return max(0, end - max(at, start)), end - start


def _proration(
    item: Body, *, amount: int, label: str, period: tuple[int, int], price: Body, credited: Body | None = None
) -> Body:
    day = datetime.fromtimestamp(period[0], tz=UTC)
    return invoice_lines.line(
        amount=amount,
        currency=price["currency"],
        description=f"{label} {prices.name_of(price)} after {day:%d %b %Y}",
        period=period,
        price=price,
        quantity=item["quantity"],
        item=item,
        proration=True,
        invoice_item=store.new_id("invoiceitem"),
        credited=credited,
    )


def _share(amount: int, part: int, whole: int) -> int:
    """`amount * part / whole` in minor units, rounded half away from zero."""
    sign = -1 if amount < 0 else 1
    return sign * ((abs(amount) * part * 2 + whole) // (whole * 2))


def period_at(anchor: int, recurring: dict[str, Any], at: int) -> tuple[int, int]:
    """(start, end) in Unix seconds of the period that contains `at`; the end is exclusive."""
    count = 0
    while _period_start(anchor, recurring, count + 1) <= at:
        count += 1
    return _period_start(anchor, recurring, count), _period_start(anchor, recurring, count + 1)


def _period_start(anchor: int, recurring: dict[str, Any], count: int) -> int:
    """The start of the period number `count` (0 is the first), in Unix seconds."""
    start = datetime.fromtimestamp(anchor, tz=UTC)
    steps = recurring["interval_count"] * count
    if recurring["interval"] in ("day", "week"):
        days = steps * (7 if recurring["interval"] == "week" else 1)
        return int((start + timedelta(days=days)).timestamp())
    months = start.year * 12 + start.month - 1 + steps * (12 if recurring["interval"] == "year" else 1)
    year, month = divmod(months, 12)
    last_day = calendar.monthrange(year, month + 1)[1]
    return int(start.replace(year=year, month=month + 1, day=min(start.day, last_day)).timestamp())
