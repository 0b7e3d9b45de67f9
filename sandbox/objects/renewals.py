"""The passing of time for subscriptions: renewals, cancellations, expiries, retries of failed payments.

Invariant: what is due runs once, in the order of its time, each step at its own time.
https://docs.stripe.com/billing/subscriptions/overview
"""

import copy
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from sandbox import errors, store
from sandbox.calls import Call
from sandbox.objects import (
    events,
    invoice_lines,
    invoices,
    pauses,
    payment_intents,
    subscription_items,
    subscription_states,
)
from sandbox.store import Body

INCOMPLETE_SECONDS = 23 * 3600
# A renewal's invoice is a draft for about an hour, in which lines can be added to it:
# https://docs.stripe.com/billing/invoices/subscription#sub-invoice-lifecycle
DRAFT_SECONDS = 3600
# Stripe allows two billing periods; this is the longest that two yearly periods can be.
MOST_SECONDS_AHEAD = 2 * 366 * 86400


class Step(NamedTuple):
    """Something that is due at a Unix second."""

    at: int
    run: Callable[[Body, Call], Any]
    body: Body


def advance_clock(call: Call) -> Body:
    """Advance a test clock. Everything due on the way has happened when this returns."""
    clock = store.get("test_helpers.test_clock", call.ids["test_clock"])
    return advance(clock, call.params["frozen_time"], call)


def delete_clock(call: Call) -> Body:
    """Delete a clock with its customers, and cancel their subscriptions.

    https://docs.stripe.com/api/test_clocks/delete
    """
    clock = store.get("test_helpers.test_clock", call.ids["test_clock"])
    call = call.at(clock["frozen_time"])
    for subscription in store.where("subscription", test_clock=clock["id"], ended_at=None):
        subscription_states.end(subscription, call, reason="cancellation_requested")
    for customer in store.where("customer", test_clock=clock["id"]):
        store.delete(customer)
    store.delete(clock)
    events.record("test_helpers.test_clock.deleted", clock, call)
    return {"id": clock["id"], "object": clock["object"], "deleted": True}


def advance(clock: Body, to: int, call: Call) -> Body:
    """Advance to a Unix second. Raises StripeError when it is not ahead, or too far ahead."""
    if not clock["frozen_time"] < to <= clock["frozen_time"] + MOST_SECONDS_AHEAD:
        raise errors.StripeError(
            "frozen_time must be after the clock's current time and not too far ahead.", param="frozen_time"
        )
    for at in _run_until(clock["id"], to, call):
        clock["frozen_time"] = at
        store.save(clock)
    clock["frozen_time"] = to
    store.save(clock)
    events.record("test_helpers.test_clock.ready", clock, call)
    return clock


def run_due(call: Call) -> int:
    """Run what is due for the customers without a test clock; return the number of steps."""
    return sum(1 for _ in _run_until(None, call.now, call))


def _run_until(clock: str | None, to: int, call: Call) -> Iterator[int]:
    """Run what is due until `to` for the customers of this clock; yields the time of each step before it."""
    while step := _next(clock, to):
        yield step.at
        step.run(step.body, call.at(step.at))


def _next(clock: str | None, to: int) -> Step | None:
    due = [step for step in _steps(clock) if step.at <= to]
    return min(due, key=lambda step: step.at, default=None)


def _steps(clock: str | None) -> Iterator[Step]:
    for subscription in store.where("subscription", test_clock=clock, ended_at=None):
        if subscription["status"] == "incomplete":
            yield Step(subscription["created"] + INCOMPLETE_SECONDS, _expire, subscription)
            continue
        if subscription["cancel_at"]:
            yield Step(subscription["cancel_at"], _end, subscription)
        if (subscription["pause_collection"] or {}).get("resumes_at"):
            yield Step(subscription["pause_collection"]["resumes_at"], pauses.resume, subscription)
        if subscription["pending_update"]:
            yield Step(subscription["pending_update"]["expires_at"], _expire_update, subscription)
        yield Step(_period_end(subscription), _renew, subscription)
    for invoice in store.where("invoice", test_clock=clock, status="open"):
        if invoice["next_payment_attempt"]:
            yield Step(invoice["next_payment_attempt"], _retry, invoice)
    for invoice in store.where("invoice", test_clock=clock, status="draft"):
        if invoice["automatically_finalizes_at"]:
            yield Step(invoice["automatically_finalizes_at"], _finalize, invoice)


def _period_end(subscription: Body) -> int:
    return min(int(item["current_period_end"]) for item in subscription["items"]["data"])


def _renew(subscription: Body, call: Call) -> None:
    """Start the next period and create its invoice, a draft; the status stays as it is."""
    if subscription["cancel_at_period_end"]:
        _end(subscription, call)
        return
    items = copy.deepcopy(subscription["items"]["data"])
    for item in items:
        item["current_period_start"], item["current_period_end"] = subscription_items.period_at(
            subscription["billing_cycle_anchor"], item["price"]["recurring"], call.now
        )
    invoice = invoices.draft(
        call,
        store.get("customer", subscription["customer"]),
        lines=[invoice_lines.of_period(item) for item in items],
        reason="subscription_cycle",
        subscription=subscription,
        finalizes_at=call.now + DRAFT_SECONDS,
    )
    pauses.apply_to(invoice, subscription, call)
    subscription_states.change(
        subscription,
        call,
        latest_invoice=invoice["id"],
        items=subscription["items"] | {"data": items},
    )


def _finalize(invoice: Body, call: Call) -> None:
    """Finalize a draft and make the first attempt to charge it; an ended subscription's stays a draft.

    https://docs.stripe.com/invoicing/integration/automatic-advancement-collection
    """
    if invoices.subscription_of(invoice)["status"] in subscription_states.ENDED:
        invoice |= {"automatically_finalizes_at": None, "auto_advance": False}
        store.save(invoice)
        return
    invoices.finalize(invoice, call)
    if invoice["status"] == "open":
        _collect(invoice, call)


def _collect(invoice: Body, call: Call) -> None:
    try:
        invoices.collect(invoice, call)
    except payment_intents.Declined:
        return  # recorded on the invoice and in events


def _retry(invoice: Body, call: Call) -> None:
    invoice["next_payment_attempt"] = None
    store.save(invoice)
    if invoices.subscription_of(invoice)["status"] not in subscription_states.ENDED:
        _collect(invoice, call)


def _end(subscription: Body, call: Call) -> None:
    subscription_states.end(subscription, call, reason="cancellation_requested")


def _expire_update(subscription: Body, call: Call) -> None:
    """The invoice of a pending update was not paid in time: it is voided, and nothing changes."""
    invoices.void(store.get("invoice", subscription["_pending_invoice"]), call)


def _expire(subscription: Body, call: Call) -> None:
    """The first invoice was not paid in time: it is voided, and the subscription ends."""
    subscription_states.end(subscription, call, reason="payment_failed")
    for invoice in store.where("invoice", id=subscription["latest_invoice"], status="open"):
        invoices.void(invoice, call)
