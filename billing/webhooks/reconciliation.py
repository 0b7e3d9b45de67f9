"""Reconciliation with Stripe: what the webhooks did not bring is fetched, and what differs is shown.

Invariants: everything found is applied by the same functions as an event's news, so mending twice changes
nothing; the bookmark moves only when a run has finished, and runs overlap, so that nothing falls between two;
one thing that cannot be mended is reported and does not keep the others from it.
"""

from collections import defaultdict
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import structlog
from django.db.models import F, Q

from billing import stripe_gateway
from billing.models import Purchase, Reconciliation, Refund, StripeEvent, Subscription
from billing.purchases import checkout
from billing.refunds import disputes, requests, stripe_refunds
from billing.stripe_gateway import Facts
from billing.subscriptions import stripe_sync
from billing.webhooks import events, handlers
from core import locks

log = structlog.get_logger(__name__)
OVERLAP = timedelta(minutes=10)
FIRST_LOOK_BACK = timedelta(days=3)


def run(now: datetime) -> Reconciliation | None:
    """Compare everything since the bookmark and mend what was missed. None: another run is under way.

    Raises stripe_gateway.Unreachable; the bookmark then stays where it was.
    """
    with locks.try_lock("reconciliation") as free:
        return _run(now) if free else None


def _run(now: datetime) -> Reconciliation:
    last = Reconciliation.objects.exclude(finished_at=None).order_by("-until").first()
    since = last.until - OVERLAP if last else now - FIRST_LOOK_BACK
    report = Reconciliation(since=since, until=now, findings=[], totals={})
    report.events = _missed_events(since, now)
    report.mended = _missed_payments(since, now, report) + _missed_refunds(since, now, report)
    report.mended += _open_orders(now, report) + _overdue_subscriptions(now, report)
    requests.send_waiting(now)
    report.totals = _totals(since, report)
    report.finished_at = now
    report.save()
    return report


def _missed_events(since: datetime, now: datetime) -> int:
    """Events that never reached us, oldest first."""
    told = [
        event
        for event in stripe_gateway.events_since(since)
        if handlers.handler_of(event["type"]) is not None
    ]
    known = set(
        StripeEvent.objects.filter(stripe_id__in=[event["id"] for event in told]).values_list(
            "stripe_id", flat=True
        )
    )
    missed = [event for event in reversed(told) if event["id"] not in known]
    for event in missed:
        row = events.store(event, now, source="reconciliation")
        events.process(row.pk, now)
    return len(missed)


def _missed_payments(since: datetime, now: datetime, report: Reconciliation) -> int:
    """Payments and payment pages whose order we do not show as paid."""
    mended = 0
    for session in stripe_gateway.checkouts_since(since):
        paid = session.get("payment_status") == "paid" and session.get("mode") == "payment"
        if paid and _unpaid(session):
            news = partial(_apply, "checkout.session.completed", session, now)
            mended += bool(_mend(report, session["id"], news))
    for intent in stripe_gateway.payments_since(since):
        if intent.get("status") == "succeeded" and (intent.get("metadata") or {}).get("purchase"):
            before = _state_of(intent)
            _mend(report, intent["id"], partial(_apply, "payment_intent.succeeded", intent, now))
            mended += before != Purchase.Status.PAID and _state_of(intent) == Purchase.Status.PAID
    return mended


def _unpaid(session: Facts) -> bool:
    row = Purchase.objects.filter(stripe_session_id=session["id"]).values_list("status", flat=True).first()
    return row not in {Purchase.Status.PAID, Purchase.Status.QUARANTINED}


def _state_of(intent: Facts) -> str | None:
    purchase = Purchase.with_public_id(str((intent.get("metadata") or {}).get("purchase", "")))
    return purchase.status if purchase else None


def _apply(event_type: str, thing: Facts, now: datetime) -> bool:
    """As if Stripe told it now."""
    handler = handlers.handler_of(event_type)
    return handler is not None and handler.apply(handler.fetch(thing), now)


def _mend(report: Reconciliation, thing: str, how: Callable[[], Any]) -> Any:
    """Mend one thing; what goes wrong with it is reported, and the rest goes on. Raises Unreachable."""
    try:
        return how()
    except stripe_gateway.Unreachable:
        raise
    except Exception as error:
        log.exception("reconciliation_left", alert=True, thing=thing)
        report.findings.append({"left": thing, "why": f"{type(error).__name__}: {error}"[:300]})
        return None


def _missed_refunds(since: datetime, now: datetime, report: Reconciliation) -> int:
    mended = 0
    for facts in stripe_refunds.failed_first(stripe_gateway.refunds_since(since)):
        known = Refund.objects.filter(stripe_refund_id=facts["id"]).values_list("status", flat=True).first()
        refund = _mend(report, facts["id"], partial(stripe_refunds.follow, facts, now))
        mended += refund is not None and refund.status != known
    for facts in stripe_gateway.disputes_since(since):
        _mend(report, facts["id"], partial(disputes.follow, facts, now))
    return mended


def _open_orders(now: datetime, report: Reconciliation) -> int:
    """Orders that have waited for long: ask Stripe what became of each."""
    stale = Purchase.objects.filter(
        status__in=[Purchase.Status.CREATED, Purchase.Status.PENDING],
        stripe_session_id__isnull=False,
        created_at__lt=now - timedelta(minutes=10),
    )
    mended = 0
    for purchase in stale.order_by("created_at")[:200]:
        before = purchase.status
        after = _mend(report, purchase.public_id, partial(checkout.refresh, purchase, now))
        mended += after is not None and after.status != before
    nowhere = Purchase.objects.filter(status=Purchase.Status.CREATED, stripe_session_id=None)
    for purchase in nowhere.filter(created_at__lt=now - timedelta(days=2))[:200]:
        _mend(report, purchase.public_id, partial(checkout.cancel, purchase, now))
    return mended


def _overdue_subscriptions(now: datetime, report: Reconciliation) -> int:
    """Paid plans whose period is over or whose downgrade is due: follow Stripe."""
    due = Subscription.objects.exclude(stripe_subscription_id=None).filter(
        Q(period_end__lte=now) | Q(paid_until__lt=F("period_end"))
    )
    mended = 0
    for row in due[:500]:
        version, named = row.version, str(row.stripe_subscription_id)
        _mend(report, named, partial(stripe_sync.sync, named, now))
        row.refresh_from_db()
        mended += row.version != version
    return mended


def _totals(since: datetime, report: Reconciliation) -> dict[str, dict[str, int]]:
    """By currency, since the bookmark: what Stripe took and gave back, and what we say it did."""
    totals: dict[str, dict[str, int]] = defaultdict(lambda: dict.fromkeys(_COLUMNS, 0))
    paid: dict[str, int] = {}
    for intent in stripe_gateway.payments_since(since):
        if intent.get("status") == "succeeded":
            totals[intent["currency"]]["stripe_paid"] += int(intent.get("amount_received") or 0)
            paid[intent["id"]] = int(intent.get("amount_received") or 0)
    ours = Purchase.objects.filter(stripe_payment_id__in=list(paid), status=Purchase.Status.PAID)
    seen: set[str] = set()
    for purchase in ours:
        totals[purchase.currency]["our_paid"] += purchase.amount
        seen.add(str(purchase.stripe_payment_id))
    report.findings += [{"payment": one, "amount": paid[one]} for one in paid if one not in seen]
    given: dict[str, Facts] = {}
    for facts in stripe_gateway.refunds_since(since):
        if facts.get("status") not in {"failed", "canceled"}:
            totals[facts["currency"]]["stripe_refunded"] += int(facts["amount"])
            given[facts["id"]] = facts
    for refund in Refund.objects.filter(stripe_refund_id__in=list(given)).exclude(
        status=Refund.Status.FAILED
    ):
        totals[refund.currency]["our_refunded"] += refund.amount
    return {currency: dict(columns) for currency, columns in totals.items()}


_COLUMNS = ("stripe_paid", "our_paid", "stripe_refunded", "our_refunded")


def differences(report: Reconciliation) -> list[dict[str, Any]]:
    """The rows of the staff page: by currency both sides and what lies between them."""
    return [
        {
            "currency": currency,
            **columns,
            "paid_gap": columns["stripe_paid"] - columns["our_paid"],
            "refunded_gap": columns["stripe_refunded"] - columns["our_refunded"],
        }
        for currency, columns in sorted(report.totals.items())
    ]
