"""Changing a plan, if nothing has changed since the preview was shown.

Invariants: a confirmation of an older version is refused; an upgrade is paid before it takes effect; a
downgrade and a cancellation wait for the end of what is paid. What is wanted is committed before Stripe is
asked, so that its events find it.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext as _

from accounts.models import Account
from billing import stripe_gateway
from billing.models import Subscription
from billing.subscriptions import lifecycle, previews, stripe_prices, stripe_sync
from billing.subscriptions.previews import ChangeRefused, Stale
from pricing.models import Plan


def confirm(account: Account, token: str, now: datetime) -> Subscription:
    """Do what a preview showed. Raises Stale, ChangeRefused, stripe_gateway.Declined and its other errors.

    A `subscribe` is not done here: it goes through a payment page (billing.purchases.create.plan_purchase).
    """
    facts = previews.read_token(account, token)
    with transaction.atomic():
        present = lifecycle.locked(account.pk)
        if present.version != facts["version"]:
            raise Stale
        kind = str(facts["kind"])
        if kind == "downgrade":
            present.next_plan, present.next_amount = str(facts["plan"]), int(facts["amount"])
            present.save(update_fields=["next_plan", "next_amount"])
        elif kind == "leave":
            plan = Plan.objects.get(key=facts["plan"])
            lifecycle.enter(present, plan, now=now, reason="left by the account")
    if kind == "upgrade":
        _upgrade(present, facts, now)
    elif kind == "downgrade":
        _downgrade(present, facts, now)
    elif kind == "cancel":
        _tell_stripe(present, {"cancel_at_period_end": True}, "cancel", now)
    elif kind == "keep":
        _keep(present, now)
    present.refresh_from_db()
    return present


def cancel(account: Account, now: datetime) -> Subscription:
    """Cancel a paid plan at the end of what is paid. Raises ChangeRefused when there is nothing to cancel."""
    present = Subscription.objects.get(account=account)
    if not present.paid:
        raise ChangeRefused("nothing_to_cancel", _("This plan is free and cannot be cancelled."))
    if not present.cancel_at_period_end:
        _tell_stripe(present, {"cancel_at_period_end": True}, "cancel", now)
        present.refresh_from_db()
    return present


def resume(account: Account, now: datetime) -> Subscription:
    """Take back a cancellation or a downgrade that has not taken effect."""
    present = Subscription.objects.get(account=account)
    if not present.paid:
        raise ChangeRefused("nothing_to_resume", _("The plan is not being cancelled."))
    _keep(present, now)
    present.refresh_from_db()
    return present


def end_now(account_id: UUID, now: datetime) -> None:
    """End a paid plan at once, without money back (an account that is erased). Safe to repeat."""
    present = Subscription.objects.filter(account_id=account_id).first()
    if present is not None and present.stripe_subscription_id:
        facts = stripe_gateway.cancel_subscription_now(
            key=f"end:{present.stripe_subscription_id}", subscription_id=present.stripe_subscription_id
        )
        stripe_sync.follow(facts, now)


def _upgrade(present: Subscription, facts: dict[str, Any], now: datetime) -> None:
    """Begin a new period of the larger plan: its price less the unused time of the present one.

    Paid at once or not at all: a card that does not pay leaves everything as it was (Declined).
    A billing cycle anchor of type `now` begins a period at the time of the call and invoices it immediately
    (https://docs.stripe.com/billing/subscriptions/billing-cycle,
    https://docs.stripe.com/changelog/endive/2026-09-30/polymorphic-billing-cycle-anchor).
    """
    price = stripe_prices.price_of(
        plan_key=str(facts["plan"]),
        interval=str(facts["interval"]),
        currency=str(facts["currency"]),
        amount=int(facts["amount"]),
    )
    params = {
        "items": [{"id": present.stripe_item_id, "price": price}],
        "billing_cycle_anchor": {"type": "now"},
        "proration_behavior": "always_invoice",
        "proration_date": int(facts["at"]),
        # Read back by subscription_sync, so that credits are prorated from the same second as the money.
        "metadata": {"prorated_at": str(facts["at"])},
        "payment_behavior": "error_if_incomplete",
        "cancel_at_period_end": False,
    }
    # The preview's second is in the key: Stripe keeps a key's first answer, a refused card's too, and refuses
    # the key with other details. So a new preview is a new try.
    _tell_stripe(present, params, f"upgrade:{price}:{facts['at']}", now)


def _downgrade(present: Subscription, facts: dict[str, Any], now: datetime) -> None:
    price = stripe_prices.price_of(
        plan_key=str(facts["plan"]),
        interval=present.interval,
        currency=present.currency,
        amount=int(facts["amount"]),
    )
    params = {
        "items": [{"id": present.stripe_item_id, "price": price}],
        "proration_behavior": "none",
        "cancel_at_period_end": False,
    }
    try:
        _tell_stripe(present, params, f"downgrade:{price}", now)
    except stripe_gateway.Rejected:
        Subscription.objects.filter(pk=present.pk).update(next_plan="", next_amount=0)
        raise


def _keep(present: Subscription, now: datetime) -> None:
    params: dict[str, Any] = {"cancel_at_period_end": False}
    if present.next_plan:
        price = stripe_prices.price_of(
            plan_key=present.plan,
            interval=present.interval,
            currency=present.currency,
            amount=present.amount,
        )
        params |= {"items": [{"id": present.stripe_item_id, "price": price}], "proration_behavior": "none"}
    _tell_stripe(present, params, "keep", now)


def _tell_stripe(present: Subscription, params: dict[str, Any], what: str, now: datetime) -> None:
    """Change the subscription at Stripe and follow its answer. A repeated click is the same call."""
    seen = stripe_sync.version_of(present.stripe_subscription_id)
    facts = stripe_gateway.update_subscription(
        key=f"{what}:{present.pk.hex}:{present.version}",
        subscription_id=str(present.stripe_subscription_id),
        params=params,
    )
    try:
        stripe_sync.follow(facts, now, seen=seen)
    except stripe_sync.Outdated:  # the event of this very change was quicker
        stripe_sync.sync(str(facts["id"]), now)
    invoice = facts.get("latest_invoice")
    if isinstance(invoice, dict) and invoice.get("status") == "paid":
        stripe_sync.record_invoice(stripe_gateway.invoice(str(invoice["id"])), facts, now)
