"""What happens by itself when its time comes: transfers settle, refunds fail, sessions expire, plans renew.

Invariant: each due thing is taken once, under the sandbox's lock, whoever looks first (beat, command,
page).
"""

from datetime import datetime

from django.db import transaction

from sandbox import calls, store
from sandbox.calls import Call
from sandbox.models import Due
from sandbox.objects import checkout_sessions, outcomes, refunds, renewals


def happen(now: datetime) -> int:
    """Let everything happen that is due at `now`; the number of things."""
    with transaction.atomic():
        store.lock()
        call = calls.by_page(now)
        done = 0
        for due in Due.objects.filter(due_at__lte=now).order_by("due_at", "pk"):
            due.delete()
            _happen(due, call)
            done += 1
        for session in store.where("checkout.session", status="open", expires_at__lte=call.now):
            done += checkout_sessions.lapse(session, call)["status"] == "expired"
        return done + renewals.run_due(call)


def _happen(due: Due, call: Call) -> None:
    if due.action == "settle":
        intent = store.find("payment_intent", due.stripe_id)
        if intent and intent["status"] == "processing":
            outcomes.settle(intent, call, succeeded=True)
        return
    refund = store.find("refund", due.stripe_id)
    if refund is None or refund["status"] in ("failed", "canceled"):
        return
    if due.action == "fail_refund":
        refunds.fail(refund, call)
    else:
        refunds.settle(refund, call)


def settle_pending(now: datetime, *, succeeded: bool = True) -> int:
    """Settle (or fail) every payment that waits for money, before its time; the number of them."""
    with transaction.atomic():
        store.lock()
        call = calls.by_page(now)
        waiting = pending()
        for intent in waiting:
            outcomes.settle(intent, call, succeeded=succeeded)
        return len(waiting)


def pending() -> list[store.Body]:
    """Payments that wait for money: in processing, or a bank transfer that has not arrived."""
    transfers = store.where("payment_intent", status="requires_action")
    kind = "display_bank_transfer_instructions"
    return store.where("payment_intent", status="processing") + [
        intent for intent in transfers if (intent["next_action"] or {}).get("type") == kind
    ]
