"""Bringing an account's plan to what Stripe says of its subscription and of its invoices.

Invariants: it is Stripe's present answer that counts, not an event's old picture, so that every order and
repetition of events ends in the same state; credits of a plan come until the end of the period whose invoice
is paid; a closed plan is not entered by this door either. Stripe is asked first, then the row is locked.
"""

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
from billing.stripe_gateway import Facts
from billing.subscriptions import lifecycle, stripe_prices
from pricing.models import Plan


class NotOurs(Exception):
    """Stripe's object cannot be matched with ours: a person must look at it."""


class Outdated(Exception):
    """Ours changed while Stripe was asked: the answer may be older than what we have. Ask again."""


@dataclass(frozen=True)
class Answer:
    """A subscription as Stripe told it, and the version that ours had before Stripe was asked."""

    facts: Facts
    seen: int | None


ANY_VERSION = -1


@dataclass(frozen=True, kw_only=True)
class Told:
    """What Stripe says of a subscription now, read from its present shape."""

    id: str
    item_id: str
    account: Account
    figure: StripePrice
    status: str
    cancels: bool
    period_start: datetime
    period_end: datetime
    prorated_at: datetime | None
    invoice: Facts


def ask(subscription_id: str) -> Answer:
    """Stripe's present answer. Raises stripe_gateway's errors."""
    seen = version_of(subscription_id)
    return Answer(stripe_gateway.subscription(subscription_id), seen)


def version_of(subscription_id: str | None) -> int | None:
    """The version of our row that stands for a subscription of Stripe's; None: there is none yet."""
    rows = Subscription.objects.filter(stripe_subscription_id=subscription_id or "-")
    return rows.values_list("version", flat=True).first()


def sync(subscription_id: str, now: datetime) -> None:
    """Ask Stripe and follow it. Raises stripe_gateway's errors, NotOurs, subscriptions.PlanClosed."""
    for last in (False, False, True):
        answer = ask(subscription_id)
        try:
            return follow(answer.facts, now, seen=answer.seen)
        except Outdated:
            if last:
                raise


def follow(facts: Facts, now: datetime, *, seen: int | None = ANY_VERSION) -> None:
    """Bring our subscription to a freshly fetched one of Stripe's. Safe to repeat and to run at once.

    Raises Outdated when ours is not any more what it was when Stripe was asked (`seen`, see `ask`).
    """
    told = _read(facts)
    with transaction.atomic():
        ours = lifecycle.locked(told.account.pk)
        present = ours.version if ours.stripe_subscription_id == told.id else None
        if seen not in {ANY_VERSION, present}:
            raise Outdated
        if told.status in {"canceled", "incomplete_expired"}:
            if ours.stripe_subscription_id == told.id:
                lifecycle.fall_back(ours, now=now, reason="subscription ended")
            return
        if told.status == "incomplete":
            return
        if ours.paid and ours.stripe_subscription_id != told.id:
            raise NotOurs(
                _("The account already has another subscription: %(id)s")
                % {"id": ours.stripe_subscription_id}
            )
        if told.status in {"active", "trialing"}:
            _follow_active(ours, told, now)
        else:
            _follow_overdue(ours, told, now)


def _follow_active(ours: Subscription, told: Told, now: datetime) -> None:
    paid_until = _paid_until(ours, told)
    if paid_until is None:
        return  # begun, but its first invoice is not paid: its own news will come
    plan = _plan_now(ours, told)
    scheduled = plan.key != told.figure.plan_key
    paid = lifecycle.Paid(
        interval=told.figure.interval,
        currency=told.figure.currency,
        amount=ours.amount if scheduled else told.figure.amount,
        period_start=told.period_start,
        period_end=told.period_end,
        paid_until=paid_until,
        stripe_subscription_id=told.id,
        stripe_item_id=told.item_id,
        prorated_at=told.prorated_at,
    )
    if _differs(ours, plan, paid):
        next_plan, next_amount = ours.next_plan, ours.next_amount
        lifecycle.enter(ours, plan, now=now, reason="paid at Stripe", paid=paid)
        if scheduled:
            ours.next_plan, ours.next_amount = next_plan, next_amount
            ours.save(update_fields=["next_plan", "next_amount"])
    elif not scheduled and ours.next_plan:
        ours.next_plan, ours.next_amount = "", 0
        lifecycle.touch(ours, now)
    if ours.cancel_at_period_end != told.cancels:
        ours.cancel_at_period_end = told.cancels
        lifecycle.touch(ours, now)


def _follow_overdue(ours: Subscription, told: Told, now: datetime) -> None:
    """past_due, unpaid, paused: the plan's credits stop, and the way to pay is shown."""
    url = str(told.invoice.get("hosted_invoice_url") or "")
    if ours.stripe_subscription_id != told.id:
        return
    first = ours.state != Subscription.State.PAST_DUE
    if first or (url and url != ours.recovery_url):
        lifecycle.stop_allowances(ours, now=now, recovery_url=url)
    if first:
        emails.queue(
            account_id=ours.account_id,
            template="payment_overdue",
            key=f"overdue:{told.invoice.get('id') or told.id}",
            context={"url": url, "plan": Plan.objects.get(key=ours.plan).name},
            now=now,
        )


def _paid_until(ours: Subscription, told: Told) -> datetime | None:
    """The end of what is paid: the present period once its invoice is paid, else what was paid before."""
    if told.invoice.get("status") == "paid" or told.status == "trialing":
        return told.period_end
    return ours.paid_until if ours.stripe_subscription_id == told.id else None


def _plan_now(ours: Subscription, told: Told) -> Plan:
    """A downgrade changes Stripe's price at once and our plan when the running period is over."""
    running = ours.stripe_subscription_id == told.id and ours.period_start == told.period_start
    waits = running and ours.next_plan == told.figure.plan_key and ours.plan != told.figure.plan_key
    return Plan.objects.get(key=ours.plan if waits else told.figure.plan_key)


def _differs(ours: Subscription, plan: Plan, paid: lifecycle.Paid) -> bool:
    return (
        ours.plan != plan.key
        or ours.state != Subscription.State.ACTIVE
        or any(
            getattr(ours, name) != getattr(paid, name)
            for name in paid.__dataclass_fields__
            if name != "prorated_at"
        )
    )


def _read(facts: Facts) -> Told:
    """Understand Stripe's object, in the shape of this API version or of those before (periods moved)."""
    account = Account.with_public_id(str((facts.get("metadata") or {}).get("account", "")))
    items: list[Facts] = (facts.get("items") or {}).get("data") or []
    if account is None or not items:
        raise NotOurs(_("The subscription has no known account"))
    item = items[0]
    figure = stripe_prices.figure_of(str((item.get("price") or {}).get("id", "")))
    if figure is None:
        raise NotOurs(_("The price of the subscription matches no plan"))
    invoice = facts.get("latest_invoice")
    return Told(
        id=str(facts["id"]),
        item_id=str(item["id"]),
        account=account,
        figure=figure,
        status=str(facts["status"]),
        cancels=bool(facts.get("cancel_at_period_end") or facts.get("cancel_at")),
        period_start=_moment(item.get("current_period_start") or facts.get("current_period_start")),
        period_end=_moment(item.get("current_period_end") or facts.get("current_period_end")),
        prorated_at=_prorated_at(facts),
        invoice=invoice if isinstance(invoice, dict) else {},
    )


def _prorated_at(facts: Facts) -> datetime | None:
    """The second from which our last upgrade credited the plan before (see changes)."""
    noted = str((facts.get("metadata") or {}).get("prorated_at", ""))
    return _moment(noted) if noted.isascii() and noted.isdigit() and len(noted) <= 11 else None


def _moment(seconds: Any) -> datetime:
    return datetime.fromtimestamp(int(seconds), tz=UTC)


# Invoices: the money side of a subscription


def subscription_of_invoice(invoice: Facts) -> str | None:
    """The subscription that an invoice is for: where this API version says it, or where older ones did."""
    parent = (invoice.get("parent") or {}).get("subscription_details") or {}
    found = parent.get("subscription") or invoice.get("subscription")
    return str(found["id"] if isinstance(found, dict) else found) if found else None


def record_invoice(invoice: Facts, subscription: Facts, now: datetime) -> Purchase | None:
    """A paid invoice of a subscription becomes a purchase in the account's history, once.

    The first one completes the order that the buyer made; `invoice` and `subscription` are freshly fetched.
    """
    if invoice.get("status") != "paid" or not invoice.get("amount_paid"):
        return None
    known = Purchase.objects.filter(stripe_invoice_id=invoice["id"]).first()
    if known is not None:
        return known
    told = _read(subscription)
    purchase = _ordered(invoice, subscription, told) or _renewal(invoice, told, now)
    payment = fulfilment.Payment(
        amount=int(invoice["amount_paid"]),
        currency=str(invoice["currency"]),
        payment_id=_payment_id(invoice),
        invoice_id=str(invoice["id"]),
        method="card",
        receipt_url=str(invoice.get("hosted_invoice_url") or ""),
        account=told.account.public_id,
    )
    return fulfilment.record_payment(purchase.pk, payment, now)


def _ordered(invoice: Facts, subscription: Facts, told: Told) -> Purchase | None:
    if invoice.get("billing_reason") != "subscription_create":
        return None
    named = str((subscription.get("metadata") or {}).get("purchase", ""))
    order = Purchase.with_public_id(named)
    if order is None or order.account_id != told.account.pk or order.kind != Purchase.Kind.PLAN:
        return None
    _note_period(order, invoice)
    return order


def _renewal(invoice: Facts, told: Told, now: datetime) -> Purchase:
    plan = Plan.objects.get(key=told.figure.plan_key)
    purchase, _created = Purchase.objects.get_or_create(
        account=told.account,
        idempotency_key=f"invoice:{invoice['id']}",
        defaults={
            "kind": Purchase.Kind.PLAN,
            "origin": Purchase.Origin.RENEWAL,
            "offer": plan.key,
            "interval": told.figure.interval,
            "label": plan.name,
            "amount": int(invoice["amount_paid"]),
            "list_amount": int(invoice["amount_paid"]),
            "currency": str(invoice["currency"]),
            "created_at": now,
        },
    )
    _note_period(purchase, invoice)
    return purchase


def _note_period(purchase: Purchase, invoice: Facts) -> None:
    lines: list[Facts] = (invoice.get("lines") or {}).get("data") or []
    periods = [line["period"] for line in lines if line.get("period")]
    if periods:
        Purchase.objects.filter(pk=purchase.pk).update(
            period_start=_moment(min(period["start"] for period in periods)),
            period_end=_moment(max(period["end"] for period in periods)),
        )


def _payment_id(invoice: Facts) -> str | None:
    for payment in (invoice.get("payments") or {}).get("data") or []:
        found = (payment.get("payment") or {}).get("payment_intent")
        if found:
            return str(found["id"] if isinstance(found, dict) else found)
    old = invoice.get("payment_intent")
    return str(old["id"] if isinstance(old, dict) else old) if old else None
