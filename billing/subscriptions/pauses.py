"""Pausing a monthly plan: the invoices of some months are not made, and the plan grants nothing meanwhile.

Invariant: the catalogue says whether members may pause and for how long; the paid month stays, and the
plan goes on by itself with the first month after the pause. While a plan is paused it cannot be changed,
because Stripe would void the invoice of the change, too
(https://docs.stripe.com/billing/subscriptions/pause-payment).
"""

from datetime import datetime, timedelta
from typing import Any

from django.utils.translation import gettext as _

from accounts.models import Account
from billing.models import Subscription
from billing.subscriptions import changes
from billing.subscriptions.previews import ChangeRefused
from billing.validity import add_months
from pricing.catalogue import cache as catalogue_cache

# Stripe voids the invoices created before `resumes_at`: it lies well before the first month to be paid.
BEFORE_RENEWAL = timedelta(hours=12)


def most_months(subscription: Subscription | None) -> int:
    """For how many months this plan may be paused; 0: it may not be."""
    policy = catalogue_cache.current().policies.pause
    if policy is None or subscription is None or not subscription.paid:
        return 0
    changing = subscription.cancel_at_period_end or subscription.next_plan or subscription.pending_plan
    active = subscription.state == Subscription.State.ACTIVE and not subscription.pause_behavior
    return policy.most_months if active and subscription.interval == "month" and not changing else 0


def pause(account: Account, months: int, now: datetime) -> Subscription:
    """Skip the next `months` months. Raises ChangeRefused and stripe_gateway's errors."""
    subscription = Subscription.objects.get(account=account)
    if not 1 <= months <= most_months(subscription):
        raise ChangeRefused("cannot_pause", _("This plan cannot be paused for that time."))
    resumes_at = first_paid_month(subscription, months) - BEFORE_RENEWAL
    params = {"pause_collection": {"behavior": "void", "resumes_at": int(resumes_at.timestamp())}}
    return _update(account, params, now)


def end(account: Account, now: datetime) -> Subscription:
    """End the pause: the plan goes on with the next month that begins. Raises ChangeRefused."""
    if not Subscription.objects.filter(account=account).exclude(pause_behavior="").exists():
        raise ChangeRefused("not_paused", _("The plan is not paused."))
    return _update(account, {"pause_collection": ""}, now)


def first_paid_month(subscription: Subscription, months: int) -> datetime:
    """When the first month after a pause of `months` begins; months are counted from the anchor."""
    assert subscription.period_end is not None
    anchor, end = subscription.anchor_at, subscription.period_end
    elapsed = (end.year - anchor.year) * 12 + end.month - anchor.month
    return add_months(anchor, elapsed + months)


def _update(account: Account, params: dict[str, Any], now: datetime) -> Subscription:
    return changes.update_claimed(
        account,
        params,
        "pause",
        now,
        ChangeRefused("cannot_pause", _("This plan cannot be paused for that time.")),
    )
