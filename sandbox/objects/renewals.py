"""The passing of time for subscriptions: renewals, ends, retries of failed payments, scheduled changes.

Invariant: what falls due happens in order of its time, each at its own instant, once.
"""

import copy
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from sandbox import store
from sandbox.calls import Call
from sandbox.objects import (
    discounts,
    invoice_bodies,
    invoice_items,
    invoice_lines,
    invoices,
    payments,
    periods,
    schedules,
    subscription_states,
)
from sandbox.store import Body

INCOMPLETE_FOR = 23 * 3600


class Step(NamedTuple):
    """Something that falls due."""

    instant: int
    happen: Callable[[Body, Call], Any]
    body: Body


def run_until(clock: str | None, instant: int, call: Call) -> Iterator[int]:
    """Let all happen that is due until the instant for those on this test clock (on none: None).

    Yields each step's instant before the step.
    """
    while step := _next(clock, instant):
        yield step.instant
        step.happen(step.body, call.at(step.instant))


def run_due(call: Call) -> int:
    """The same in real time, for all customers without a test clock; the number of steps."""
    return sum(1 for _ in run_until(None, call.now, call))


def _next(clock: str | None, instant: int) -> Step | None:
    due = [step for step in _steps(clock) if step.instant <= instant]
    return min(due, key=lambda step: step.instant, default=None)


def _steps(clock: str | None) -> Iterator[Step]:
    for subscription in store.where("subscription", test_clock=clock, ended_at=None):
        if subscription["status"] == "incomplete":
            yield Step(subscription["created"] + INCOMPLETE_FOR, _expire, subscription)
            continue
        if pending := subscription["pending_update"]:
            yield Step(pending["expires_at"], _forget_pending, subscription)
        if subscription["cancel_at"]:
            yield Step(subscription["cancel_at"], _end, subscription)
        yield Step(_period_end(subscription), renew, subscription)
    for invoice in store.where("invoice", test_clock=clock, status="open"):
        if invoice["next_payment_attempt"]:
            yield Step(invoice["next_payment_attempt"], _retry, invoice)


def _period_end(subscription: Body) -> int:
    return min(int(item["current_period_end"]) for item in subscription["items"]["data"])


def renew(subscription: Body, call: Call) -> None:
    """Begin the next period and bill it."""
    if subscription["cancel_at_period_end"]:
        _end(subscription, call)
        return
    items = copy.deepcopy(subscription["items"]["data"])
    if planned := schedules.items_due(subscription, call):
        items = planned
    anchor = subscription["billing_cycle_anchor"]
    if planned and _interval(planned) != _interval(subscription["items"]["data"]):
        anchor = call.now
    for item in items:
        item["current_period_start"], item["current_period_end"] = periods.period_at(
            anchor, item["price"]["recurring"], call.now
        )
    fields: dict[str, Any] = {
        "items": subscription["items"] | {"data": items},
        "billing_cycle_anchor": anchor,
    }
    if subscription["status"] == "trialing":
        fields["status"] = "active"
    lines = [invoice_lines.of_period(item) for item in items]
    invoice_id = store.new_id("invoice")
    lines += invoice_items.take_pending(subscription["customer"], invoice_id, subscription["id"])
    invoice = invoices.draft(
        call,
        store.get("customer", subscription["customer"]),
        lines=lines,
        currency=subscription["currency"],
        reason="subscription_cycle",
        subscription=subscription,
        invoice_id=invoice_id,
        discounts=discounts.continuing(subscription, sum(line["amount"] for line in lines), call),
    )
    subscription_states.change(subscription, call, latest_invoice=invoice["id"], **fields)
    invoices.finalize(invoice, call)
    if invoice["status"] == "open":
        _collect(invoice, call)


def _interval(items: list[Body]) -> tuple[str, int]:
    recurring = items[0]["price"]["recurring"]
    return recurring["interval"], recurring["interval_count"]


def _collect(invoice: Body, call: Call) -> None:
    try:
        invoices.collect(invoice, call)
    except payments.Declined:
        return  # written on the invoice and told in events


def _retry(invoice: Body, call: Call) -> None:
    invoice["next_payment_attempt"] = None
    store.save(invoice)
    subscription = invoice_bodies.subscription_of(invoice)
    if subscription is None or subscription["status"] not in subscription_states.OVER:
        _collect(invoice, call)


def _end(subscription: Body, call: Call) -> None:
    subscription_states.end(subscription, call, reason="cancellation_requested")


def _expire(subscription: Body, call: Call) -> None:
    subscription_states.end(subscription, call, reason="payment_failed")
    for invoice in store.where("invoice", id=subscription["latest_invoice"], status="open"):
        invoices.void_open(invoice, call)


def _forget_pending(subscription: Body, call: Call) -> None:
    """The change was not paid in time: it never happens, and its invoice is void."""
    invoice = store.find("invoice", (subscription.get("_pending") or {}).get("invoice"))
    if invoice and invoice["status"] == "open":
        invoices.void_open(invoice, call)
    subscription_states.change(subscription, call, pending_update=None, _pending=None)
