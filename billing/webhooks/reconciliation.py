"""Reconciliation: fetch from Stripe what webhooks missed, apply it, and compare the totals.

Invariants: everything is applied by the same functions as an event, so repeating a run changes nothing;
`until` of the last finished run is the start of the next, with an overlap, so that nothing is skipped; an
object that cannot be applied is reported and does not stop the others.
"""

from collections import defaultdict
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import structlog
from django.db import transaction
from django.db.models import F, Q
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from billing import stripe_gateway
from billing.models import (
    BillingProfile,
    Dispute,
    Purchase,
    Reconciliation,
    Refund,
    StripeEvent,
    Subscription,
)
from billing.payments import cards, customers, fulfilment
from billing.purchases import checkout, plan_conflicts
from billing.refunds import plan_payments, stripe_refunds
from billing.stripe_gateway import StripeObject
from billing.subscriptions import lost, prices, stripe_objects
from billing.webhooks import events, handlers, ownership
from core import locks

log = structlog.get_logger(__name__)
OVERLAP = timedelta(minutes=10)
FIRST_RUN_COVERS = timedelta(days=3)
OPEN_PURCHASE_AGE = timedelta(minutes=10)  # older open purchases are fetched from Stripe
NO_SESSION_AGE = timedelta(days=2)  # older purchases without a Checkout session are cancelled
_COLUMNS = ("stripe_paid", "our_paid", "stripe_refunded", "our_refunded")


class LiveAccountLeft(stripe_gateway.StripeError):
    """The database belongs to a live Stripe account, and the secret key is of another account or mode."""

    def __init__(self, previous: str, account: str) -> None:
        super().__init__(
            _(
                "The customers and subscriptions of this database are in the Stripe account %(previous)s, and"
                " STRIPE_SECRET_KEY is a key of %(account)s. Set a key of %(previous)s. To leave that account"
                " for good, run: manage.py adopt_stripe_account"
            )
            % {"previous": previous, "account": account}
        )


def run(now: datetime, *, even_live: bool = False) -> Reconciliation | None:
    """Compare everything since the last run and apply what was missed. None: another run is in progress.

    `even_live`: leave a live Stripe account for the one of the secret key, on request of the operator.
    Raises stripe_gateway.StripeUnavailable; the next run then starts at the same time again. Raises
    LiveAccountLeft.
    """
    with locks.try_lock("reconciliation") as free:
        return _run(now, even_live=even_live) if free else None


def differences(report: Reconciliation) -> list[dict[str, Any]]:
    """The rows of the staff page: by currency the totals of both sides and their differences."""
    return [
        {
            "currency": currency,
            **columns,
            "paid_gap": columns["stripe_paid"] - columns["our_paid"],
            "refunded_gap": columns["stripe_refunded"] - columns["our_refunded"],
        }
        for currency, columns in sorted(report.totals.items())
    ]


def _run(now: datetime, *, even_live: bool = False) -> Reconciliation:
    last = Reconciliation.objects.exclude(finished_at=None).order_by("-until").first()
    since = last.until - OVERLAP if last else now - FIRST_RUN_COVERS
    account = stripe_gateway.current_account()
    report = Reconciliation(since=since, until=now, stripe_account=account, findings=[], totals={})
    if last is not None and _is_another(last.stripe_account, account):
        _leave_account(last.stripe_account, account, now, report, even_live=even_live)
    report.events = _process_missed_events(since, now, report)
    report.mended = _apply_missed_payments(since, now, report)
    report.mended += _apply_missed_refunds_and_disputes(since, now, report)
    report.mended += _close_open_purchases(now, report) + _sync_overdue_subscriptions(now, report)
    plan_conflicts.carry_out(now)
    _try(report, "withdrawn plan payments", partial(plan_payments.apply_claims_to_new_grants, now))
    plan_payments.bring_subscriptions_in_line(now)
    _fetch_unknown_cards(now, report)
    report.totals = _totals(since, report)
    report.finished_at = now
    report.save()
    return report


def _is_another(previous: str, account: str) -> bool:
    """Whether the secret key is of another Stripe account or mode than at the previous run."""
    old, _separator, old_mode = previous.partition("/")
    new, _separator, mode = account.partition("/")
    unknown = stripe_gateway.UNKNOWN_ACCOUNT in {old, new}
    return bool(previous) and (old_mode != mode or (old != new and not unknown))


def _leave_account(
    previous: str, account: str, now: datetime, report: Reconciliation, *, even_live: bool
) -> None:
    """End what exists only in the previous Stripe account or mode (docs/decisions/0066)."""
    live = previous.endswith("/live")
    log.error("stripe_account_changed", alert=True, previous=previous, current=account, refused=live)
    if live and not even_live:
        raise LiveAccountLeft(previous, account)
    customers.forget_cards(account)
    for subscription in Subscription.objects.exclude(stripe_subscription_id=None):
        end = partial(lost.synchronize, subscription, now, paid_for_real=live)
        _try(report, str(subscription.stripe_subscription_id), end)


def _process_missed_events(since: datetime, now: datetime, report: Reconciliation) -> int:
    """Store and process events that no webhook brought, oldest first; their number."""
    relevant = [
        event
        for event in stripe_gateway.list_events(since)
        if handlers.handler_of(str(event.get("type"))) is not None
    ]
    stored = set(
        StripeEvent.objects.filter(stripe_id__in=[str(event.get("id")) for event in relevant]).values_list(
            "stripe_id", flat=True
        )
    )
    missed = [event for event in reversed(relevant) if event.get("id") not in stored]
    return sum(
        bool(_try(report, str(event.get("id")), partial(_process_missed_event, event, now)))
        for event in missed
    )


def _process_missed_event(event: StripeObject, now: datetime) -> StripeEvent:
    return events.process(events.store(event, now, source="reconciliation").pk, now)


def _apply_missed_payments(since: datetime, now: datetime, report: Reconciliation) -> int:
    """Apply succeeded payments and paid Checkout sessions whose purchase is not paid; their number."""
    changed = 0
    for session in stripe_gateway.list_checkout_sessions(since):
        paid = session.get("payment_status") == "paid" and session.get("mode") == "payment"
        if paid and ownership.session_is_ours(session) and _unpaid(session):
            apply = partial(_apply_as_event, "checkout.session.completed", session, now)
            changed += bool(_try(report, session["id"], apply))
    for intent in stripe_gateway.list_payment_intents(since):
        if intent.get("status") == "succeeded" and (intent.get("metadata") or {}).get("purchase"):
            before = _status_of_purchase(intent)
            _try(report, intent["id"], partial(_apply_as_event, "payment_intent.succeeded", intent, now))
            after = _status_of_purchase(intent)
            changed += before != Purchase.Status.PAID and after == Purchase.Status.PAID
    return changed


def _unpaid(session: StripeObject) -> bool:
    purchases = Purchase.objects.filter(stripe_session_id=session["id"])
    status = purchases.values_list("status", flat=True).first()
    return status not in {Purchase.Status.PAID, Purchase.Status.QUARANTINED}


def _status_of_purchase(intent: StripeObject) -> str | None:
    purchase = Purchase.with_public_id(str((intent.get("metadata") or {}).get("purchase", "")))
    return purchase.status if purchase else None


def _apply_as_event(event_type: str, stripe_object: StripeObject, now: datetime) -> bool:
    """Handle an object as an event of that type would be."""
    handler = handlers.handler_of(event_type)
    if handler is None:
        return False
    fetched = handler.fetch(stripe_object)
    with transaction.atomic():
        return handler.apply(fetched, now)


def _try(report: Reconciliation, name: str, apply: Callable[[], Any]) -> Any:
    """Apply one object; an error is logged and reported, and None returned. Raises Unreachable."""
    try:
        return apply()
    except stripe_gateway.StripeUnavailable:
        raise
    except Exception as error:
        if isinstance(error, stripe_objects.UnknownPrice):
            prices.record_unknown(error.price)
        log.exception("reconciliation_failed", alert=True, object=name)
        report.findings.append({"left": name, "why": f"{type(error).__name__}: {error}"[:300]})
        return None


def _apply_missed_refunds_and_disputes(since: datetime, now: datetime, report: Reconciliation) -> int:
    """Apply Stripe's refunds and disputes; the number of refunds whose status changed."""
    changed = 0
    for facts in stripe_refunds.failed_first(stripe_gateway.list_refunds(since)):
        before = Refund.objects.filter(stripe_refund_id=facts["id"]).values_list("status", flat=True).first()
        refund = _try(report, facts["id"], partial(stripe_refunds.apply_stripe_refund, facts, now))
        changed += refund is not None and refund.status != before
    for facts in stripe_gateway.list_disputes(since):
        known = Dispute.objects.filter(stripe_dispute_id=facts["id"], stripe_status=facts["status"])
        if not known.exists():
            _try(report, facts["id"], partial(_apply_as_event, "charge.dispute.updated", facts, now))
    return changed


def _close_open_purchases(now: datetime, report: Reconciliation) -> int:
    """Fetch the Checkout sessions of open purchases, cancel those without one; the number of changed ones."""
    open_purchases = Purchase.objects.filter(
        status__in=[Purchase.Status.CREATED, Purchase.Status.PENDING],
        stripe_session_id__isnull=False,
        created_at__lt=now - OPEN_PURCHASE_AGE,
    )
    changed = 0
    for purchase in open_purchases.order_by("created_at")[:200]:
        before = purchase.status
        after = _try(report, purchase.public_id, partial(_refresh_or_close, purchase, now))
        changed += after is not None and after.status != before
    without_session = Purchase.objects.filter(status=Purchase.Status.CREATED, stripe_session_id=None)
    for purchase in without_session.filter(created_at__lt=now - NO_SESSION_AGE)[:200]:
        _try(report, purchase.public_id, partial(checkout.cancel, purchase, now))
    return changed


def _refresh_or_close(purchase: Purchase, now: datetime) -> Purchase:
    """Fetch the Checkout session; a purchase whose session Stripe does not have cannot be paid any more."""
    try:
        return checkout.refresh_from_stripe(purchase, now)
    except stripe_gateway.ResourceMissing:
        reason = gettext_noop("The payment page no longer exists.")
        return fulfilment.mark_failed(purchase.pk, reason=reason, now=now, notify=False)


def _sync_overdue_subscriptions(now: datetime, report: Reconciliation) -> int:
    """Fetch paid plans whose period has ended or whose downgrade is due; the number of changed ones."""
    due = Subscription.objects.exclude(stripe_subscription_id=None).filter(
        Q(period_end__lte=now) | Q(paid_until__lt=F("period_end"))
    )
    changed = 0
    for subscription in due[:500]:
        version, stripe_id = subscription.version, str(subscription.stripe_subscription_id)
        _try(report, stripe_id, partial(lost.synchronize, subscription, now))
        subscription.refresh_from_db()
        changed += subscription.version != version
    return changed + lost.end_expired(now)


def _fetch_unknown_cards(now: datetime, report: Reconciliation) -> None:
    """Fetch the cards of accounts that have a customer and were never asked about at Stripe."""
    unknown = BillingProfile.objects.filter(cards_version=0, stripe_customer_id__isnull=False)
    in_use = unknown.filter(
        Q(account__subscription__stripe_subscription_id__isnull=False) | Q(account__auto_top_up__enabled=True)
    )
    for account_id in in_use.values_list("pk", flat=True)[:200]:
        _try(report, f"cards of {account_id}", partial(cards.synchronize, account_id, now))


def _totals(since: datetime, report: Reconciliation) -> dict[str, dict[str, int]]:
    """Minor units by currency since `since`: paid and refunded at Stripe, and the same in the database.

    Payments and refunds of other software on the same Stripe account are not counted. Our payments without
    a paid purchase are added to the report's findings.
    """
    totals: dict[str, dict[str, int]] = defaultdict(lambda: dict.fromkeys(_COLUMNS, 0))
    paid: dict[str, int] = {}
    for intent in stripe_gateway.list_payment_intents(since):
        if intent.get("status") == "succeeded" and ownership.payment_is_ours(intent):
            totals[intent["currency"]]["stripe_paid"] += int(intent.get("amount_received") or 0)
            paid[intent["id"]] = int(intent.get("amount_received") or 0)
    recorded: set[str] = set()
    for purchase in Purchase.objects.filter(stripe_payment_id__in=list(paid), status=Purchase.Status.PAID):
        totals[purchase.currency]["our_paid"] += purchase.amount
        recorded.add(str(purchase.stripe_payment_id))
    report.findings += [
        {"payment": payment_id, "amount": amount}
        for payment_id, amount in paid.items()
        if payment_id not in recorded
    ]
    refunded: list[str] = []
    for facts in stripe_gateway.list_refunds(since):
        if facts.get("status") not in stripe_refunds.FAILED_AT_STRIPE and ownership.refund_is_ours(facts):
            totals[facts["currency"]]["stripe_refunded"] += int(facts["amount"])
            refunded.append(facts["id"])
    refunds = Refund.objects.filter(stripe_refund_id__in=refunded).exclude(status=Refund.Status.FAILED)
    for refund in refunds:
        totals[refund.currency]["our_refunded"] += refund.amount
    return {currency: dict(columns) for currency, columns in totals.items()}
