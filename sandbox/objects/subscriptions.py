"""Subscriptions: begun by a checkout or by the API, listed, ended.

Invariant: a subscription is active only once its first invoice is paid (or there is nothing to pay yet).
"""

import copy
from typing import Any

from sandbox import errors, store
from sandbox.calls import Call
from sandbox.models import Resource
from sandbox.objects import (
    clocks,
    customers,
    defaults,
    discounts,
    events,
    invoice_lines,
    invoices,
    payments,
    prices,
    prorations,
    subscription_states,
)
from sandbox.store import Body

end = subscription_states.end


def create(call: Call) -> Body:
    """By the API. With `payment_behavior=error_if_incomplete` a decline is raised, and nothing stays."""
    given = call.params
    customer = store.get("customer", given["customer"], "customer")
    call = clocks.of_customer(call, customer)
    lines = []
    for index, item in enumerate(given.get("items") or []):
        price = prices.price_of(item, call, f"items[{index}][price]")
        lines.append(
            {"price": price, "quantity": item.get("quantity", 1), "metadata": item.get("metadata") or {}}
        )
    if not lines:
        raise errors.missing("items")
    trial = given.get("trial_period_days", 0)
    if isinstance(given.get("trial_end"), int):
        trial = max(0, (given["trial_end"] - call.now) // 86400)
    return start(
        call,
        customer=customer["id"],
        lines=lines,
        trial_days=trial,
        default_payment_method=given.get("default_payment_method"),
        discounts=[
            {"coupon": d.get("coupon"), "promotion_code": d.get("promotion_code")}
            for d in given.get("discounts") or []
        ],
        metadata=given.get("metadata") or {},
        description=given.get("description"),
        behaviour=given.get("payment_behavior", "allow_incomplete"),
        cancel_at_period_end=given.get("cancel_at_period_end", False),
        payment_settings=given.get("payment_settings"),
    )


def start(
    call: Call, *, customer: str, lines: list[dict[str, Any]], paid_by: Body | None = None, **given: Any
) -> Body:
    """A subscription with its first invoice, paid by an intent that succeeded before, or charged now."""
    call = clocks.of_customer(call, customer)
    recurring = [line for line in lines if line["price"]["recurring"]]
    if not recurring:
        raise errors.StripeError("A subscription needs at least one recurring price.", param="items")
    trial_end = call.now + given["trial_days"] * 86400 if given.get("trial_days") else None
    body = _blank(call, customer, recurring[0]["price"]["currency"], trial_end, given)
    body["items"] = {
        "object": "list",
        "url": f"/v1/subscription_items?subscription={body['id']}",
        "has_more": False,
        "data": [_item(line, index, call, body, trial_end) for index, line in enumerate(recurring)],
    }
    store.add(body)
    events.record("customer.subscription.created", body, call)
    _bill_first(body, lines, call, paid_by=paid_by, given=given)
    return store.get("subscription", body["id"])


def _item(line: dict[str, Any], index: int, call: Call, body: Body, trial_end: int | None) -> Body:
    wanted = {"price": line["price"]["id"], "quantity": line["quantity"], "metadata": line.get("metadata")}
    item = prorations.new_item(wanted, index, call, body)
    if trial_end:
        item |= {"current_period_start": call.now, "current_period_end": trial_end}
    return item


def _bill_first(
    body: Body, lines: list[dict[str, Any]], call: Call, *, paid_by: Body | None, given: dict[str, Any]
) -> None:
    customer = store.get("customer", body["customer"])
    own = (
        []
        if body["status"] == "trialing"
        else [invoice_lines.of_period(item) for item in body["items"]["data"]]
    )
    own += [
        invoice_lines.once(line["price"], line["quantity"], call.now)
        for line in lines
        if not line["price"]["recurring"]
    ]
    taken = _discount(body, own, given.get("discounts") or [], call, redeem=paid_by is None)
    invoice = invoices.draft(
        call,
        customer,
        lines=own,
        currency=body["currency"],
        reason="subscription_create",
        subscription=body,
        discounts=taken,
    )
    body["latest_invoice"] = invoice["id"]
    store.save(body)
    invoices.finalize(invoice, call, intent=paid_by)
    behaviour = given.get("behaviour", "allow_incomplete")
    if invoice["status"] != "open" or behaviour == "default_incomplete":
        return
    try:
        invoices.collect(invoice, call)
    except payments.Declined as declined:
        if behaviour == "error_if_incomplete":
            # A plain refusal, so that the transaction takes back the subscription too.
            raise errors.refusal_of(declined) from declined


def _discount(
    body: Body, lines: list[Body], wanted: list[dict[str, Any]], call: Call, *, redeem: bool
) -> list[tuple[str, int]]:
    """(discount id, amount) for the first invoice; the subscription remembers a coupon that goes on."""
    taken = []
    for given in wanted:
        coupon = discounts.coupon_of(given, call) if redeem else discounts.coupon_behind(given)
        discount = discounts.attach(given, coupon, call, customer=body["customer"], subscription=body["id"])
        amount = discounts.taken_off(sum(line["amount"] for line in lines), coupon, body["currency"])
        taken.append((discount["id"], amount))
        if coupon["duration"] != "once":
            body["discounts"].append(discount["id"])
        if redeem:
            discounts.redeemed(given)
    return taken


def _blank(call: Call, customer: str, currency: str, trial_end: int | None, given: dict[str, Any]) -> Body:
    body: Body = copy.deepcopy(defaults.SUBSCRIPTION) | {
        "id": store.new_id("subscription"),
        "billing_cycle_anchor": trial_end or call.now,
        "cancel_at_period_end": given.get("cancel_at_period_end", False),
        "created": call.now,
        "currency": currency,
        "customer": customer,
        "default_payment_method": given.get("default_payment_method"),
        "description": given.get("description"),
        "payment_settings": {
            "payment_method_options": None,
            "payment_method_types": None,
            "save_default_payment_method": "off",
        }
        | (given.get("payment_settings") or {}),
        "start_date": call.now,
        "status": "trialing" if trial_end else "incomplete",
        "test_clock": store.get("customer", customer)["test_clock"],
        "trial_end": trial_end,
        "trial_start": call.now if trial_end else None,
    }
    customers.merge_metadata(body, given.get("metadata") or {})
    return body


def retrieve(call: Call) -> Body:
    return store.get("subscription", call.ids["subscription_exposed_id"])


def list_subscriptions(call: Call) -> Body:
    """Those not canceled, unless `status` says otherwise ("all" is all, "ended" those that are over)."""
    given = call.params
    rows = Resource.objects.filter(kind="subscription")
    for name in ("customer", "test_clock", "collection_method"):
        if given.get(name):
            rows = rows.filter(**{f"body__{name}": given[name]})
    if price := given.get("price"):
        rows = rows.filter(body__items__data__contains=[{"price": {"id": price}}])
    status = given.get("status")
    if status is None:
        rows = rows.exclude(body__status="canceled")
    elif status == "ended":
        rows = rows.filter(body__status__in=subscription_states.OVER)
    elif status != "all":
        rows = rows.filter(body__status=status)
    return store.page(store.within(rows, given.get("created")), call, "/v1/subscriptions")
