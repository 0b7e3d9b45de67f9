"""Stripe's books beside ours: what the webhooks did not bring is fetched, and what differs is shown.

Invariants: everything found is applied by the same functions as an event's news, so mending twice changes
nothing; the bookmark moves only when a run has finished, and runs overlap, so that nothing falls between two.
"""

from collections import defaultdict
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.db.models import F, Q

from billing import (
    auto_top_up,
    checkout,
    disputes,
    refund_news,
    refunds,
    stripe_events,
    stripe_gateway,
    stripe_handlers,
    subscription_sync,
    subscriptions,
    turns,
)
from billing.models import Purchase, Reconciliation, Refund, StripeEvent, Subscription
from billing.stripe_gateway import Facts

log = structlog.get_logger(__name__)
OVERLAP = timedelta(minutes=10)
FIRST_LOOK_BACK = timedelta(days=3)
_MINE = (
    stripe_gateway.StripeProblem,
    subscription_sync.NotOurs,
    subscriptions.PlanClosed,
    stripe_handlers.Quarantine,
)


def run(now: datetime) -> Reconciliation | None:
    """Compare everything since the bookmark and mend what was missed. None: another run is under way.

    Raises stripe_gateway.Unreachable; the bookmark then stays where it was.
    """
    with turns.turn_if_free("reconciliation") as free:
        return _run(now) if free else None


def _run(now: datetime) -> Reconciliation:
    last = Reconciliation.objects.exclude(finished_at=None).order_by("-until").first()
    since = last.until - OVERLAP if last else now - FIRST_LOOK_BACK
    report = Reconciliation(since=since, until=now, findings=[], totals={})
    report.events = _missed_events(since, now)
    report.mended = _missed_payments(since, now) + _missed_refunds(since, now, report)
    report.mended += _open_orders(now) + _overdue_subscriptions(now)
    refunds.send_waiting(now)
    report.totals = _totals(since, report)
    report.finished_at = now
    report.save()
    return report


def _missed_events(since: datetime, now: datetime) -> int:
    """Events that never reached us, oldest first."""
    told = [
        event
        for event in stripe_gateway.events_since(since)
        if stripe_handlers.handler_of(event["type"]) is not None
    ]
    known = set(
        StripeEvent.objects.filter(stripe_id__in=[event["id"] for event in told]).values_list(
            "stripe_id", flat=True
        )
    )
    missed = [event for event in reversed(told) if event["id"] not in known]
    for event in missed:
        row = stripe_events.store(event, now, source="reconciliation")
        stripe_events.process(row.pk, now)
    return len(missed)


def _missed_payments(since: datetime, now: datetime) -> int:
    """Payments and payment pages whose order we do not show as paid."""
    mended = 0
    for session in stripe_gateway.checkouts_since(since):
        if session.get("payment_status") == "paid" and session.get("mode") == "payment":
            mended += _apply("checkout.session.completed", session, now, _unpaid(session))
    for intent in stripe_gateway.payments_since(since):
        if intent.get("status") == "succeeded" and (intent.get("metadata") or {}).get("purchase"):
            before = _state_of(intent)
            auto_top_up.follow(intent, now)
            mended += before not in {None, Purchase.Status.PAID} and _state_of(intent) == Purchase.Status.PAID
    return mended


def _unpaid(session: Facts) -> bool:
    row = Purchase.objects.filter(stripe_session_id=session["id"]).values_list("status", flat=True).first()
    return row not in {Purchase.Status.PAID, Purchase.Status.QUARANTINED}


def _state_of(intent: Facts) -> str | None:
    purchase = Purchase.with_public_id(str((intent.get("metadata") or {}).get("purchase", "")))
    return purchase.status if purchase else None


def _apply(event_type: str, thing: Facts, now: datetime, needed: bool) -> int:
    handler = stripe_handlers.handler_of(event_type)
    if not needed or handler is None:
        return 0
    try:
        return int(handler.apply(handler.fetch(thing), now))
    except _MINE as reason:
        log.warning("reconciliation_left", thing=thing.get("id"), why=str(reason))
        return 0


def _missed_refunds(since: datetime, now: datetime, report: Reconciliation) -> int:
    mended = 0
    for facts in stripe_gateway.refunds_since(since):
        known = Refund.objects.filter(stripe_refund_id=facts["id"]).values_list("status", flat=True).first()
        refund = refund_news.follow(facts, now)
        mended += refund is not None and refund.status != known
    for facts in stripe_gateway.disputes_since(since):
        disputes.follow(facts, now)
    return mended


def _open_orders(now: datetime) -> int:
    """Orders that have waited for long: ask Stripe what became of each."""
    stale = Purchase.objects.filter(
        status__in=[Purchase.Status.CREATED, Purchase.Status.PENDING],
        stripe_session_id__isnull=False,
        created_at__lt=now - timedelta(minutes=10),
    )
    mended = 0
    for purchase in stale.order_by("created_at")[:200]:
        before = purchase.status
        try:
            mended += checkout.refresh(purchase, now).status != before
        except _MINE as reason:
            log.warning("reconciliation_left", thing=purchase.public_id, why=str(reason))
    nowhere = Purchase.objects.filter(status=Purchase.Status.CREATED, stripe_session_id=None)
    for purchase in nowhere.filter(created_at__lt=now - timedelta(days=2))[:200]:
        checkout.cancel(purchase, now)
    return mended


def _overdue_subscriptions(now: datetime) -> int:
    """Paid plans whose period is over or whose downgrade is due: follow Stripe."""
    due = Subscription.objects.exclude(stripe_subscription_id=None).filter(
        Q(period_end__lte=now) | Q(paid_until__lt=F("period_end"))
    )
    mended = 0
    for row in due[:500]:
        version = row.version
        try:
            subscription_sync.sync(str(row.stripe_subscription_id), now)
        except _MINE as reason:
            log.warning("reconciliation_left", thing=row.stripe_subscription_id, why=str(reason))
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
