"""Subscriptions that the configured Stripe account does not have: it was changed, or they were removed there.

Invariant: such a subscription is never charged again. A plan paid with real money stays until the end of its
paid period; one of test mode or the sandbox ends at once (docs/decisions/0066-stripe-accounts-and-modes.md).
"""

from datetime import datetime

from django.db import transaction

from billing import stripe_gateway
from billing.models import Subscription
from billing.subscriptions import lifecycle, stripe_sync


def synchronize(subscription: Subscription, now: datetime, *, paid_for_real: bool = True) -> None:
    """Apply Stripe's subscription to ours; one that Stripe does not have ends. Raises as stripe_sync does.

    `paid_for_real`: False when the missing subscription was paid in test mode.
    """
    stripe_id = str(subscription.stripe_subscription_id)
    try:
        stripe_sync.synchronize(stripe_id, now)
    except stripe_gateway.ResourceMissing:
        _end(subscription, stripe_id, now, paid_for_real)


def _end(subscription: Subscription, stripe_id: str, now: datetime, paid_for_real: bool) -> None:
    with transaction.atomic():
        locked = lifecycle.lock_subscription(subscription.account_id)
        if locked.stripe_subscription_id != stripe_id:
            return
        paid_until = locked.paid_until
        if paid_for_real and paid_until and paid_until > now and locked.state == Subscription.State.ACTIVE:
            locked.stripe_subscription_id, locked.stripe_item_id = None, ""
            locked.cancel_at_period_end, locked.next_plan, locked.next_amount = True, "", 0
            lifecycle.save_new_version(locked, now)
        else:
            lifecycle.fall_back_to_free_plan(locked, now=now, reason="subscription is not at Stripe")


def end_expired(now: datetime, *, limit: int = 500) -> int:
    """Put accounts whose lost subscription was paid until now on the free plan; their number."""
    expired = Subscription.objects.filter(stripe_subscription_id=None, paid_until__lte=now)
    ids = list(expired.values_list("account_id", flat=True)[:limit])
    for account_id in ids:
        with transaction.atomic():
            locked = lifecycle.lock_subscription(account_id)
            if locked.stripe_subscription_id is None and locked.paid_until and locked.paid_until <= now:
                lifecycle.fall_back_to_free_plan(locked, now=now, reason="paid period ended")
    return len(ids)
