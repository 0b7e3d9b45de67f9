"""Actions that run when they are due: payments settle, refunds fail, sessions expire, subscriptions renew.

Invariant: each action runs once, under the sandbox's lock, whether a task, a command or a page runs it.
"""

from datetime import datetime

from django.db import transaction

from sandbox import calls, store
from sandbox.calls import Call
from sandbox.models import Due
from sandbox.objects import checkout_sessions, payment_intents, payments, refunds, renewals


def run_due(now: datetime) -> int:
    """Run every action that is due at `now`; return their number."""
    with transaction.atomic():
        store.lock()
        call = calls.without_request(now)
        done = 0
        for due in Due.objects.filter(due_at__lte=now).order_by("due_at", "pk"):
            due.delete()
            _run(due, call)
            done += 1
        for session in store.where("checkout.session", status="open"):
            done += checkout_sessions.expire_if_due(session, call)["status"] == "expired"
        return done + renewals.run_due(call)


def _run(due: Due, call: Call) -> None:
    if due.action == "settle":
        intent = store.find("payment_intent", due.stripe_id)
        if intent and intent["status"] == "processing":
            method = store.find("payment_method", intent["payment_method"]) or {}
            payments.settle(intent, call, succeeded=not method.get("_fails"))
        return
    refund = store.find("refund", due.stripe_id)
    if refund is None or refund["status"] in ("failed", "canceled"):
        return
    if due.action == "fail_refund":
        refunds.fail(refund, call)
    else:
        refunds.settle(refund, call)


def settle_pending(now: datetime, *, succeeded: bool = True) -> int:
    """Settle (or fail) every pending payment before it is due; return their number."""
    with transaction.atomic():
        store.lock()
        call = calls.without_request(now)
        waiting = pending()
        for intent in waiting:
            payments.settle(intent, call, succeeded=succeeded)
        return len(waiting)


def pending() -> list[store.Body]:
    """Payment intents that are processing, or that wait for a bank transfer."""
    incomplete = store.where("payment_intent", status="processing") + store.where(
        "payment_intent", status="requires_action"
    )
    return [intent for intent in incomplete if payment_intents.is_pending(intent)]
