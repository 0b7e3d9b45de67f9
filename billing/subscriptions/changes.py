"""Changes of an account's plan, made only if nothing has changed since the preview.

Invariants: a confirmation of an older version is refused, and each confirmed change is one request to Stripe
with a key of its own; an immediate change is paid before it takes effect; a downgrade and a cancellation take
effect when the paid period ends. Nothing is saved here before Stripe accepts the change: our subscription
follows Stripe's (stripe_sync).
"""

import hashlib
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from accounts.models import Account
from billing import stripe_gateway
from billing.models import Subscription
from billing.stripe_gateway import StripeObject
from billing.subscriptions import (
    invoices,
    lifecycle,
    pending_payments,
    previews,
    prices,
    stripe_objects,
    stripe_sync,
)
from billing.subscriptions.previews import ChangeRefused, ConfirmationStale
from pricing.models import Plan


def confirm(account: Account, token: str, now: datetime) -> Subscription:
    """Make the change that a preview showed, except `subscribe`, which is a purchase.

    Raises ConfirmationStale, ChangeRefused, stripe_gateway.CardDeclined and its other errors.
    """
    preview = previews.read_token(account, token)
    kind = str(preview["kind"])
    intent = hashlib.sha256(token.encode()).hexdigest()
    repeated = Subscription.objects.filter(account=account, intent=intent).exists()
    if kind in previews.IMMEDIATE and not repeated:
        previews.require_same_charge(account, preview)
    with transaction.atomic():
        subscription = lifecycle.lock_subscription(account.pk)
        if subscription.intent != intent:  # the same click again repeats the request under way
            if subscription.version != preview["version"]:
                raise ConfirmationStale
            if kind in {"downgrade", *previews.IMMEDIATE}:
                previews.require_no_pending_renewal(subscription, now)
            if kind == "leave":
                plan = Plan.objects.get(key=preview["plan"])
                lifecycle.change_plan(subscription, plan, now=now, reason="left by the account")
            else:
                lifecycle.claim(subscription, intent, now)
    if kind in previews.IMMEDIATE:
        _change_now(subscription, preview, now)
    elif kind == "downgrade":
        _downgrade(subscription, preview, now)
    elif kind == "cancel":
        _cancel(subscription, now)
    elif kind == "keep":
        _withdraw_change(subscription, now)
    subscription.refresh_from_db()
    return subscription


def cancel(account: Account, now: datetime, *, feedback: str = "", comment: str = "") -> Subscription:
    """Cancel a paid plan at the end of the paid period. Raises ChangeRefused for a plan without payment.

    `feedback` is one of Subscription.Feedback, `comment` the member's own words.
    """
    subscription = _claim(
        account, now, ChangeRefused("nothing_to_cancel", _("This plan is free and cannot be cancelled."))
    )
    _cancel(subscription, now, feedback=feedback, comment=comment)
    subscription.refresh_from_db()
    return subscription


def resume(account: Account, now: datetime) -> Subscription:
    """Withdraw a cancellation, a downgrade or a change that waits for its payment. Raises ChangeRefused."""
    subscription = _claim(
        account, now, ChangeRefused("nothing_to_resume", _("The plan is not being cancelled."))
    )
    _withdraw_change(subscription, now)
    subscription.refresh_from_db()
    return subscription


def update_claimed(
    account: Account, params: dict[str, Any], action: str, now: datetime, refused: ChangeRefused
) -> Subscription:
    """Update the account's subscription at Stripe, with a key of its own; `refused` as for `_claim`."""
    subscription = _claim(account, now, refused)
    _update_at_stripe(subscription, params, action, now)
    subscription.refresh_from_db()
    return subscription


def _claim(account: Account, now: datetime, refused: ChangeRefused) -> Subscription:
    """The account's subscription in a new version, so that the request to Stripe has a key of its own.

    Raises `refused` for a plan without payment.
    """
    with transaction.atomic():
        subscription = lifecycle.lock_subscription(account.pk)
        if not subscription.paid:
            raise refused
        lifecycle.save_new_version(subscription, now)
    return subscription


def _cancel(subscription: Subscription, now: datetime, *, feedback: str = "", comment: str = "") -> None:
    params: dict[str, Any] = {"cancel_at_period_end": True}
    if feedback or comment:
        params["cancellation_details"] = {"feedback": feedback, "comment": comment}
    _update_at_stripe(subscription, params, "cancel", now)


def _change_now(subscription: Subscription, preview: dict[str, Any], now: datetime) -> None:
    """Begin a new period of the other plan or interval: its price less the unused time of the current one.

    A billing cycle anchor of type `now` begins a period at the time of the call and invoices it immediately
    (https://docs.stripe.com/billing/subscriptions/billing-cycle,
    https://docs.stripe.com/changelog/endive/2026-09-30/polymorphic-billing-cycle-anchor). The change waits
    where the bank requires the cardholder to authenticate the payment. Raises CardDeclined when the payment
    fails; nothing changes then.
    """
    price = prices.ensure_price(
        plan_key=str(preview["plan"]),
        interval=str(preview["interval"]),
        currency=str(preview["currency"]),
        amount=int(preview["amount"]),
    )
    params = {
        "items": [{"id": subscription.stripe_item_id, "price": price}],
        "billing_cycle_anchor": {"type": "now"},
        "proration_behavior": "always_invoice",
        "proration_date": int(preview["at"]),
        # Read by stripe_sync, so that credits are prorated from the same second as the money. Pending updates
        # accept only these parameters: https://docs.stripe.com/billing/subscriptions/pending-updates-reference,
        # https://docs.stripe.com/changelog/dahlia/2026-05-27/pending-subscription-update-metadata and
        # https://docs.stripe.com/changelog/endive/2026-09-30/scheduled-subscription-cancellation
        "metadata": stripe_objects.proration_metadata(subscription, int(preview["at"]))
        | stripe_objects.NO_PLAN_IN_FORCE,
        "payment_behavior": "pending_if_incomplete",
        "cancel_at_period_end": False,
    }
    # The key contains the preview's second, because Stripe repeats the first response to a key, a declined
    # card's included: a new preview is a new attempt (https://docs.stripe.com/api/idempotent_requests).
    payload = _update_at_stripe(subscription, params, f"change:{price}:{preview['at']}", now)
    if payload.get("pending_update"):
        pending_payments.require_authentication_only(payload, now)


def _downgrade(subscription: Subscription, preview: dict[str, Any], now: datetime) -> None:
    price = prices.ensure_price(
        plan_key=str(preview["plan"]),
        interval=subscription.interval,
        currency=subscription.currency,
        amount=int(preview["amount"]),
    )
    params = {
        "items": [{"id": subscription.stripe_item_id, "price": price}],
        "proration_behavior": "none",
        "cancel_at_period_end": False,
        "metadata": stripe_objects.plan_in_force_metadata(subscription),
    }
    _update_at_stripe(subscription, params, f"downgrade:{price}", now)


def _withdraw_change(subscription: Subscription, now: datetime) -> None:
    params: dict[str, Any] = {"cancel_at_period_end": False}
    if subscription.next_plan:
        # The renewal's draft charges the smaller plan: the larger one would come for its price.
        previews.require_no_pending_renewal(subscription, now)
        price = prices.ensure_price(
            plan_key=subscription.plan,
            interval=subscription.interval,
            currency=subscription.currency,
            amount=subscription.amount,
        )
        params |= {
            "items": [{"id": subscription.stripe_item_id, "price": price}],
            "proration_behavior": "none",
            "metadata": stripe_objects.NO_PLAN_IN_FORCE,
        }
    _update_at_stripe(subscription, params, "keep", now)


def _update_at_stripe(
    subscription: Subscription, params: dict[str, Any], action: str, now: datetime
) -> StripeObject:
    """Update the subscription at Stripe and apply the response; the same click again is the same request.

    A change that waits for its payment is dropped first. Raises ConfirmationStale when it was paid meanwhile.
    """
    if subscription.pending_invoice:
        pending_payments.discard(subscription, now)
    version = stripe_sync.local_version(subscription.stripe_subscription_id)
    try:
        payload = stripe_gateway.update_subscription(
            key=f"{action}:{subscription.pk.hex}:{subscription.version}",
            subscription_id=str(subscription.stripe_subscription_id),
            params=params,
        )
    except stripe_gateway.KeyReused:
        _renew_version(subscription, now)
        raise
    try:
        stripe_sync.apply_snapshot(payload, now, version=version)
    except stripe_sync.StaleSnapshot:  # the event of this update was applied before its response
        stripe_sync.synchronize(str(payload["id"]), now)
    invoice = payload.get("latest_invoice")
    if isinstance(invoice, dict) and invoice.get("status") == "paid":
        invoice = stripe_gateway.retrieve_invoice(str(invoice["id"]))
        invoices.record_paid_invoice(invoice, payload, now)
    return payload


def _renew_version(subscription: Subscription, now: datetime) -> None:
    """Follow Stripe, with a version that no earlier key contains: a restored backup repeats versions."""
    stripe_sync.synchronize(str(subscription.stripe_subscription_id), now)
    with transaction.atomic():
        locked = lifecycle.lock_subscription(subscription.account_id)
        locked.version += 1000
        lifecycle.save_new_version(locked, now)
