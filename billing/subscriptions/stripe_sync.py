"""Apply Stripe's subscriptions and invoices to our records.

Invariants: only an object as retrieved now is applied, never the copy in an event, so that events in any
order and number end in the same state; a plan's credits are granted until the end of the period whose invoice
is paid; a closed plan cannot be entered through Stripe; the object is retrieved before the subscription's row
is locked.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from accounts.models import Account
from billing import stripe_gateway
from billing.models import Purchase, StripePrice, Subscription
from billing.notifications import emails
from billing.payments import fulfilment
from billing.stripe_gateway import StripeObject
from billing.subscriptions import lifecycle, prices
from core.errors import DomainError
from pricing.models import Plan


class UnmatchedObject(DomainError):
    """A Stripe object that matches none of our records; staff must resolve it."""

    code, status = "payment_provider_refused", 502

    def detail(self) -> str:
        return stripe_gateway.StripeError().detail()


class StaleSnapshot(Exception):
    """Our subscription changed after the Stripe object was requested: retrieve it again."""


@dataclass(frozen=True)
class Snapshot:
    """A Stripe subscription, and the version of our row before it was retrieved."""

    payload: StripeObject
    version: int | None


ANY_VERSION = -1


@dataclass(frozen=True, kw_only=True)
class PlanInForce:
    """The plan that an account keeps until its paid period ends, after a downgrade changed the price."""

    plan_key: str
    amount: int  # minor units per interval
    until: datetime


NO_PLAN_IN_FORCE = {"plan_in_force": ""}  # an empty value removes the key: https://docs.stripe.com/metadata


@dataclass(frozen=True, kw_only=True)
class StripeSubscription:
    """The fields of a Stripe subscription that we use, and what they refer to in our records."""

    id: str
    item_id: str
    account: Account
    price: StripePrice
    status: str
    cancels: bool
    period_start: datetime
    period_end: datetime
    prorated_at: datetime | None
    in_force: PlanInForce | None
    invoice: StripeObject


# Subscriptions


def fetch_snapshot(subscription_id: str) -> Snapshot:
    """Retrieve a subscription. Raises stripe_gateway's errors."""
    version = local_version(subscription_id)
    return Snapshot(stripe_gateway.retrieve_subscription(subscription_id), version)


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
            return apply_snapshot(snapshot.payload, now, version=snapshot.version)
        except StaleSnapshot:
            if last_attempt:
                raise


def apply_snapshot(payload: StripeObject, now: datetime, *, version: int | None = ANY_VERSION) -> None:
    """Apply a retrieved Stripe subscription to ours. Idempotent and safe to run concurrently.

    Raises StaleSnapshot when ours no longer has the version that it had before the request
    (`fetch_snapshot`), UnmatchedObject, offers.PlanClosed.
    """
    remote = _parse_subscription(payload)
    with transaction.atomic():
        subscription = lifecycle.lock_subscription(remote.account.pk)
        same = subscription.stripe_subscription_id == remote.id
        if version not in {ANY_VERSION, subscription.version if same else None}:
            raise StaleSnapshot
        if remote.status in {"canceled", "incomplete_expired"}:
            if same:
                lifecycle.fall_back_to_free_plan(subscription, now=now, reason="subscription ended")
            return
        if remote.status == "incomplete":
            return
        if subscription.paid and not same:
            raise UnmatchedObject(
                _("The account already has another subscription: %(id)s")
                % {"id": subscription.stripe_subscription_id}
            )
        if remote.status in {"active", "trialing"}:
            _apply_active(subscription, remote, now)
        elif same:
            _apply_past_due(subscription, remote, now)


def _apply_active(subscription: Subscription, remote: StripeSubscription, now: datetime) -> None:
    paid_until = _paid_until(subscription, remote)
    if paid_until is None:
        return  # the first invoice is not paid yet; its payment is a later event
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
        prorated_at=remote.prorated_at,
    )
    if _differs(subscription, plan, paid):
        lifecycle.change_plan(subscription, plan, now=now, reason="paid at Stripe", paid=paid)
    following = (remote.price.plan_key, remote.price.amount) if kept else ("", 0)
    if (subscription.next_plan, subscription.next_amount) != following:
        subscription.next_plan, subscription.next_amount = following
        lifecycle.save_new_version(subscription, now)
    if subscription.cancel_at_period_end != remote.cancels:
        subscription.cancel_at_period_end = remote.cancels
        lifecycle.save_new_version(subscription, now)


def _apply_past_due(subscription: Subscription, remote: StripeSubscription, now: datetime) -> None:
    """Statuses past_due, unpaid and paused: stop the plan's credits and link to the invoice to be paid."""
    url = str(remote.invoice.get("hosted_invoice_url") or "")
    newly_overdue = subscription.state != Subscription.State.PAST_DUE
    if newly_overdue or (url and url != subscription.recovery_url):
        lifecycle.mark_past_due(subscription, now=now, recovery_url=url)
    if newly_overdue:
        emails.queue(
            account_id=subscription.account_id,
            template="payment_overdue",
            key=f"overdue:{remote.invoice.get('id') or remote.id}",
            context={"url": url, "plan": Plan.objects.get(key=subscription.plan).name},
            now=now,
        )


def _paid_until(subscription: Subscription, remote: StripeSubscription) -> datetime | None:
    """The end of the current period once its invoice is paid, before that the end of the last paid one.

    A renewal's invoice stays a draft for about an hour while the subscription is already active
    (https://docs.stripe.com/billing/invoices/subscription).
    """
    if remote.invoice.get("status") == "paid" or remote.status == "trialing":
        return remote.period_end
    return subscription.paid_until if subscription.stripe_subscription_id == remote.id else None


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
        subscription.stripe_subscription_id == remote.id and subscription.period_start == remote.period_start
    )
    if same_period and subscription.next_plan == remote.price.plan_key != subscription.plan:
        return PlanInForce(plan_key=subscription.plan, amount=subscription.amount, until=remote.period_end)
    return None


def plan_in_force_metadata(subscription: Subscription) -> dict[str, str]:
    """The metadata with which a downgrade keeps the current plan until the paid period ends."""
    assert subscription.period_end is not None
    until = int(subscription.period_end.timestamp())
    return {"plan_in_force": f"{subscription.amount}:{until}:{subscription.plan}"}


def _differs(subscription: Subscription, plan: Plan, paid: lifecycle.PaidPeriod) -> bool:
    return (
        subscription.plan != plan.key
        or subscription.state != Subscription.State.ACTIVE
        or any(
            getattr(subscription, name) != getattr(paid, name)
            for name in paid.__dataclass_fields__
            if name != "prorated_at"
        )
    )


def _parse_subscription(payload: StripeObject) -> StripeSubscription:
    """Read a subscription of the pinned API version or of an older one.

    Before 2025-03-31 the subscription had the period that its items have now:
    https://docs.stripe.com/changelog/basil/2025-03-31/deprecate-subscription-current-period-start-and-end
    """
    account = Account.with_public_id(str((payload.get("metadata") or {}).get("account", "")))
    items: list[StripeObject] = (payload.get("items") or {}).get("data") or []
    if account is None or not items:
        raise UnmatchedObject(_("The subscription's metadata name no account"))
    item = items[0]
    price = prices.find_price(str((item.get("price") or {}).get("id", "")))
    if price is None:
        raise UnmatchedObject(_("The subscription's price belongs to no plan"))
    invoice = payload.get("latest_invoice")
    return StripeSubscription(
        id=str(payload["id"]),
        item_id=str(item["id"]),
        account=account,
        price=price,
        status=str(payload["status"]),
        cancels=bool(payload.get("cancel_at_period_end") or payload.get("cancel_at")),
        period_start=_as_datetime(item.get("current_period_start") or payload.get("current_period_start")),
        period_end=_as_datetime(item.get("current_period_end") or payload.get("current_period_end")),
        prorated_at=_prorated_at(payload),
        in_force=_parse_plan_in_force(payload),
        invoice=invoice if isinstance(invoice, dict) else {},
    )


def _prorated_at(payload: StripeObject) -> datetime | None:
    """When the last upgrade's credit for the old price begins, as `changes` stored it in the metadata."""
    seconds = str((payload.get("metadata") or {}).get("prorated_at", ""))
    return _as_datetime(seconds) if seconds.isascii() and seconds.isdigit() and len(seconds) <= 11 else None


def _parse_plan_in_force(payload: StripeObject) -> PlanInForce | None:
    """What `plan_in_force_metadata` wrote; None where it is absent or was edited into something else."""
    text = str((payload.get("metadata") or {}).get("plan_in_force", ""))
    match = re.fullmatch(r"(\d{1,12}):(\d{1,11}):(.+)", text, re.ASCII)
    if match is None or not Plan.objects.filter(key=match[3]).exists():
        return None
    return PlanInForce(plan_key=match[3], amount=int(match[1]), until=_as_datetime(match[2]))


def _as_datetime(seconds: Any) -> datetime:
    return datetime.fromtimestamp(int(seconds), tz=UTC)


# Invoices


def invoice_subscription_id(invoice: StripeObject) -> str | None:
    """The id of the subscription that an invoice is for, in the pinned API version or an older one."""
    parent = (invoice.get("parent") or {}).get("subscription_details") or {}
    subscription = parent.get("subscription") or invoice.get("subscription")
    return _id_of(subscription) if subscription else None


def record_paid_invoice(invoice: StripeObject, subscription: StripeObject, now: datetime) -> Purchase | None:
    """Record a paid invoice of a subscription as a purchase, once. Both objects are retrieved just before.

    The first invoice completes the purchase that the buyer made, a later one creates a purchase. Returns None
    when the invoice is not paid or its amount is zero. Raises UnmatchedObject.
    """
    if invoice.get("status") != "paid" or not invoice.get("amount_paid"):
        return None
    recorded = Purchase.objects.filter(stripe_invoice_id=invoice["id"]).first()
    if recorded is not None:
        return recorded
    remote = _parse_subscription(subscription)
    purchase = _initial_purchase(invoice, subscription, remote) or _renewal_purchase(invoice, remote, now)
    payment = fulfilment.Payment(
        amount=int(invoice["amount_paid"]),
        currency=str(invoice["currency"]),
        payment_id=_payment_id(invoice),
        invoice_id=str(invoice["id"]),
        method="card",
        receipt_url=str(invoice.get("hosted_invoice_url") or ""),
        account=remote.account.public_id,
    )
    return fulfilment.record_payment(purchase.pk, payment, now)


def _initial_purchase(
    invoice: StripeObject, subscription: StripeObject, remote: StripeSubscription
) -> Purchase | None:
    if invoice.get("billing_reason") != "subscription_create":
        return None
    public_id = str((subscription.get("metadata") or {}).get("purchase", ""))
    purchase = Purchase.with_public_id(public_id)
    if purchase is None or purchase.account_id != remote.account.pk or purchase.kind != Purchase.Kind.PLAN:
        return None
    _save_period(purchase, invoice)
    return purchase


def _renewal_purchase(invoice: StripeObject, remote: StripeSubscription, now: datetime) -> Purchase:
    plan = Plan.objects.get(key=remote.price.plan_key)
    purchase, _created = Purchase.objects.get_or_create(
        account=remote.account,
        idempotency_key=f"invoice:{invoice['id']}",
        defaults={
            "kind": Purchase.Kind.PLAN,
            "origin": Purchase.Origin.RENEWAL,
            "offer": plan.key,
            "interval": remote.price.interval,
            "label": plan.name,
            "amount": int(invoice["amount_paid"]),
            "list_amount": int(invoice["amount_paid"]),
            "currency": str(invoice["currency"]),
            "created_at": now,
        },
    )
    _save_period(purchase, invoice)
    return purchase


def _save_period(purchase: Purchase, invoice: StripeObject) -> None:
    lines: list[StripeObject] = (invoice.get("lines") or {}).get("data") or []
    periods = [line["period"] for line in lines if line.get("period")]
    if periods:
        Purchase.objects.filter(pk=purchase.pk).update(
            period_start=_as_datetime(min(period["start"] for period in periods)),
            period_end=_as_datetime(max(period["end"] for period in periods)),
        )


def _payment_id(invoice: StripeObject) -> str | None:
    """The invoice's PaymentIntent: among its payments, or in the field of API versions before 2025-03-31."""
    for payment in (invoice.get("payments") or {}).get("data") or []:
        payment_intent = (payment.get("payment") or {}).get("payment_intent")
        if payment_intent:
            return _id_of(payment_intent)
    return _id_of(invoice["payment_intent"]) if invoice.get("payment_intent") else None


def _id_of(reference: Any) -> str:
    """The id of an object that may be expanded."""
    return str(reference["id"] if isinstance(reference, dict) else reference)
