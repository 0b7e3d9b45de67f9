"""Apply Stripe's subscriptions to ours.

Invariants: only objects as retrieved now are applied, never the copy in an event, so that events in any
order and number end in the same state; a plan changes, and its next period counts as paid, once the invoice
of that period is paid and no renewal before it is owed; a closed plan cannot be entered through Stripe; the
objects are retrieved before the subscription's row is locked.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction

from billing import stripe_gateway
from billing.models import Subscription
from billing.notifications import emails, plan_changes
from billing.payments import withheld_periods
from billing.stripe_gateway import StripeObject
from billing.subscriptions import grace, ledger_terms, lifecycle, paid_periods, surplus
from billing.subscriptions.stripe_objects import (
    ForeignObject,
    PlanInForce,
    StripeSubscription,
    UnmatchedObject,
    account_of,
    parse_subscription,
)
from pricing.models import Plan


class StaleSnapshot(Exception):
    """Our subscription changed after the Stripe object was requested: retrieve it again."""


@dataclass(frozen=True)
class Snapshot:
    """A Stripe subscription, and the version of our row before it was retrieved.

    `in_force`: the account's own subscription at Stripe, where that is another one. `invoices`: its newest
    invoices, where the latest one does not tell whether the period is paid.
    """

    payload: StripeObject
    version: int | None
    in_force: StripeObject | None = None
    invoices: list[StripeObject] | None = None


ANY_VERSION = -1


# Subscriptions


def fetch_snapshot(subscription_id: str) -> Snapshot:
    """Retrieve a subscription. Raises stripe_gateway's errors."""
    row = Subscription.objects.filter(stripe_subscription_id=subscription_id).first()
    payload = stripe_gateway.retrieve_subscription(subscription_id)
    invoices = None
    if paid_periods.needs_invoices(payload, row.paid_until if row else None):
        invoices = stripe_gateway.list_subscription_invoices(subscription_id)
    return Snapshot(payload, row.version if row else None, _fetch_in_force(payload), invoices)


def _fetch_in_force(payload: StripeObject) -> StripeObject | None:
    """The subscription that the account has in our records, unless it is this one."""
    try:
        account = account_of(payload)
    except (ForeignObject, UnmatchedObject):  # raised again when the subscription is applied
        return None
    rows = Subscription.objects.filter(account=account).exclude(stripe_subscription_id=payload["id"])
    stripe_id = rows.values_list("stripe_subscription_id", flat=True).first()
    if not stripe_id:
        return None
    try:
        return stripe_gateway.retrieve_subscription(stripe_id)
    except stripe_gateway.ResourceMissing:
        return {"id": stripe_id, "status": "canceled"}


def local_version(subscription_id: str | None) -> int | None:
    """The version of our row for a Stripe subscription; None when there is no such row."""
    rows = Subscription.objects.filter(stripe_subscription_id=subscription_id or "-")
    return rows.values_list("version", flat=True).first()


def synchronize(subscription_id: str, now: datetime) -> None:
    """Retrieve a subscription and apply it, at most three times while ours changes meanwhile.

    Raises stripe_gateway's errors, UnmatchedObject, StaleSnapshot, offers.PlanClosed.
    """
    for last_attempt in (False, False, True):
        snapshot = fetch_snapshot(subscription_id)
        try:
            return apply_fetched(snapshot, now)
        except StaleSnapshot:
            if last_attempt:
                raise


def apply_fetched(snapshot: Snapshot, now: datetime) -> None:
    """`apply_snapshot` of what `fetch_snapshot` returned."""
    apply_snapshot(
        snapshot.payload,
        now,
        version=snapshot.version,
        in_force=snapshot.in_force,
        invoices=snapshot.invoices,
    )


def apply_snapshot(
    payload: StripeObject,
    now: datetime,
    *,
    version: int | None = ANY_VERSION,
    in_force: StripeObject | None = None,
    invoices: list[StripeObject] | None = None,
) -> None:
    """Apply a retrieved Stripe subscription to ours. Idempotent and safe to run concurrently.

    A subscription beside the one in force never enters: it is recorded as surplus.

    Raises StaleSnapshot when ours no longer has the version that it had before the request, or when its
    invoices are needed (`fetch_snapshot`), UnmatchedObject, offers.PlanClosed.
    """
    remote = parse_subscription(payload)
    with transaction.atomic():
        subscription = lifecycle.lock_subscription(remote.account.pk)
        same = subscription.stripe_subscription_id == remote.id
        if version not in {ANY_VERSION, subscription.version if same else None}:
            raise StaleSnapshot
        if remote.status in {"canceled", "incomplete_expired"}:
            if same:
                lifecycle.fall_back_to_free_plan(subscription, now=now, reason="subscription ended")
            return
        if remote.status == "incomplete" or surplus.is_surplus(remote.id):
            return
        if subscription.paid and not same:
            if not _has_ended(subscription, in_force):
                surplus.record(remote.account.pk, remote.id, reason=surplus.Reason.SECOND, now=now)
                return
            lifecycle.fall_back_to_free_plan(subscription, now=now, reason="subscription ended")
        if remote.status in {"active", "trialing"}:
            _apply_active(subscription, remote, invoices, now)
        elif same and remote.status == "paused" and remote.invoice.get("status") != "open":
            _apply_paused(subscription, now)
        elif same:
            _apply_past_due(subscription, remote, invoices, now)


def _apply_paused(subscription: Subscription, now: datetime) -> None:
    """Staff paused the subscription at Stripe: it gives nothing until it is resumed, and nothing is owed.

    https://docs.stripe.com/changelog/endive/2026-09-30/pause-subscription
    """
    if subscription.state != Subscription.State.PAUSED:
        subscription.recovery_url = ""
        lifecycle.mark_past_due(subscription, now=now, state=Subscription.State.PAUSED)


def _has_ended(subscription: Subscription, in_force: StripeObject | None) -> bool:
    """Whether our subscription has ended at Stripe, which the events may not have reported yet.

    Raises StaleSnapshot when another one was retrieved, so that of two none is cancelled for the other.
    """
    if in_force is None or in_force.get("id") != subscription.stripe_subscription_id:
        raise StaleSnapshot
    return in_force.get("status") in {"canceled", "incomplete_expired"}


def _apply_active(
    subscription: Subscription,
    remote: StripeSubscription,
    invoices: list[StripeObject] | None,
    now: datetime,
) -> None:
    if withheld_periods.is_withheld(subscription.account_id, remote.id, remote.period_start):
        _withhold(subscription, remote, now)
        return
    paid_until = paid_periods.paid_until(subscription, remote, invoices)
    if paid_until is None:
        return  # the first invoice is not paid yet; its payment is a later event
    if subscription.stripe_subscription_id == remote.id:
        if paid_until < remote.period_end:
            return _await_payment(subscription, remote, invoices, paid_until, now)
        _enter_missed_period(subscription, remote)
    kept = _plan_in_force(subscription, remote)
    plan = Plan.objects.get(key=kept.plan_key if kept else remote.price.plan_key)
    paid = lifecycle.PaidPeriod(
        interval=remote.price.interval,
        currency=remote.price.currency,
        amount=kept.amount if kept else remote.price.amount,
        period_start=remote.period_start,
        period_end=remote.period_end,
        paid_until=paid_until,
        stripe_subscription_id=remote.id,
        stripe_item_id=remote.item_id,
        proration=remote.proration,
    )
    if _differs(subscription, plan, paid):
        lifecycle.change_plan(subscription, plan, now=now, reason="paid at Stripe", paid=paid)
        surplus.record_pending(subscription.account_id, except_id=remote.id, now=now)
    following = remote.price if kept else None
    next_plan = {
        "next_plan": following.plan_key if following else "",
        "next_amount": following.amount if following else 0,
    }
    _save_if_changed(subscription, next_plan | _scheduled_changes(remote), now)


def _scheduled_changes(remote: StripeSubscription) -> dict[str, Any]:
    """What takes effect later: at the period's end, or when its payment is confirmed."""
    pending = remote.pending
    return {
        "pause_behavior": remote.pause_behavior,
        "paused_until": remote.paused_until,
        "cancel_at_period_end": remote.cancels,
        "cancel_feedback": remote.feedback if remote.cancels else "",
        "cancel_comment": remote.comment if remote.cancels else "",
        "pending_plan": pending.plan_key if pending else "",
        "pending_invoice": pending.invoice_id if pending else "",
        "pending_url": pending.url if pending else "",
        "pending_until": pending.until if pending else None,
    }


def _save_if_changed(subscription: Subscription, fields: dict[str, Any], now: datetime) -> None:
    if any(getattr(subscription, name) != value for name, value in fields.items()):
        cancelled, next_plan = subscription.cancel_at_period_end, subscription.next_plan
        for name, value in fields.items():
            setattr(subscription, name, value)
        lifecycle.save_new_version(subscription, now)
        lifecycle.set_schedule(subscription, now)
        plan_changes.queue(subscription, was_cancelled=cancelled, followed_by=next_plan, now=now)


def _withhold(subscription: Subscription, remote: StripeSubscription, now: datetime) -> None:
    """The period's payment was refunded or disputed: the plan gives nothing, and there is nothing to pay."""
    same = subscription.stripe_subscription_id == remote.id
    if same and subscription.state != Subscription.State.PAST_DUE:
        subscription.recovery_url = ""
        lifecycle.mark_past_due(subscription, now=now)


def _await_payment(
    subscription: Subscription,
    remote: StripeSubscription,
    invoices: list[StripeObject] | None,
    paid_until: datetime,
    now: datetime,
) -> None:
    """The next period has begun and is not paid: the plan goes on until the grace period ends."""
    fields = _scheduled_changes(remote) | {"paid_until": paid_until}
    renewed = remote.invoice.get("billing_reason") == "subscription_cycle"
    if renewed and paid_until <= remote.period_start:
        fields |= {"period_start": remote.period_start, "period_end": remote.period_end}
    if paid_periods.is_skipped(remote) or subscription.state == Subscription.State.PAUSED:
        # Nothing is owed for this period, and the first one after a pause is entered when it is paid.
        _save_if_changed(subscription, fields, now)
        if subscription.state != Subscription.State.PAUSED:
            lifecycle.mark_past_due(subscription, now=now, state=Subscription.State.PAUSED)
        return
    _save_if_changed(subscription, fields, now)
    until = grace.ends_at(subscription)
    if until is not None and until <= now:
        _apply_past_due(subscription, remote, invoices, now)


def _enter_missed_period(subscription: Subscription, remote: StripeSubscription) -> None:
    """Set the period in which an upgrade was made, if its renewal has not been applied to ours."""
    end = subscription.period_end
    if end is None or end >= remote.period_start:
        return
    start, end = ledger_terms.month_of(subscription.anchor_at, remote.period_start)
    if start < remote.period_start:
        subscription.period_start, subscription.period_end = start, end


def _apply_past_due(
    subscription: Subscription,
    remote: StripeSubscription,
    invoices: list[StripeObject] | None,
    now: datetime,
) -> None:
    """Statuses past_due and unpaid, and paused with an open invoice: stop the plan's credits and link to
    the invoice to be paid."""
    _save_if_changed(subscription, _scheduled_changes(remote), now)
    unpaid = (item for item in invoices or () if item.get("status") in {"open", "uncollectible"})
    invoice = next(unpaid, remote.invoice)
    url = str(invoice.get("hosted_invoice_url") or "")
    newly_overdue = subscription.state != Subscription.State.PAST_DUE
    if newly_overdue or (url and url != subscription.recovery_url):
        lifecycle.mark_past_due(subscription, now=now, recovery_url=url)
    if newly_overdue:
        emails.queue(
            account_id=subscription.account_id,
            template="payment_overdue",
            key=f"overdue:{invoice.get('id') or remote.id}",
            context={"url": url, "plan": Plan.objects.get(key=subscription.plan).name},
            now=now,
        )


def _plan_in_force(subscription: Subscription, remote: StripeSubscription) -> PlanInForce | None:
    """The plan that a scheduled downgrade leaves in force; None when the price's own plan is.

    A downgrade changes the price at Stripe immediately, and our plan when the current period ends. The
    request that changes the price writes the plan in force into the metadata, so that the Stripe object
    alone decides, whichever event or response is applied first.
    """
    if remote.in_force is not None:
        return remote.in_force if remote.period_start < remote.in_force.until else None
    # downgrades that were scheduled before the metadata had the plan in force
    same_period = (
        subscription.stripe_subscription_id == remote.id
        and subscription.period_start == remote.period_start
        and subscription.paid_until == remote.period_end
    )
    if same_period and subscription.next_plan == remote.price.plan_key != subscription.plan:
        return PlanInForce(plan_key=subscription.plan, amount=subscription.amount, until=remote.period_end)
    return None


def _differs(subscription: Subscription, plan: Plan, paid: lifecycle.PaidPeriod) -> bool:
    return (
        subscription.plan != plan.key
        or subscription.state != Subscription.State.ACTIVE
        or any(
            getattr(subscription, name) != getattr(paid, name)
            for name in paid.__dataclass_fields__
            if name != "proration"
        )
    )
