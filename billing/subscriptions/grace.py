"""The grace period of a renewal: a plan goes on while the payment of its next period is awaited.

At Stripe the next period begins as `active` and its invoice stays a draft for about an hour, and for up to
three days while Stripe cannot deliver `invoice.created`
(https://docs.stripe.com/billing/invoices/subscription,
https://docs.stripe.com/invoicing/integration/workflow-transitions).

Invariants: the credits of a period are granted when it begins, are taken back when its payment fails or the
grace period ends, and what was used of them is deducted from the next period that is paid; an account that
has used credits of an unpaid period gets none in advance (docs/decisions/0063).
"""

from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from django.db.models import F, Sum

from billing.models import Grant, Subscription
from pricing.catalogue import cache as catalogue_cache
from pricing.models import Plan


def length() -> timedelta:
    return timedelta(hours=catalogue_cache.current().policies.renewal_grace_hours)


def ends_at(subscription: Subscription) -> datetime | None:
    """Until when the payment of the next period is awaited; None when there is no next period."""
    if not subscription.paid or subscription.paid_until is None or subscription.pause_behavior == "void":
        return None
    period_end = subscription.period_end or subscription.paid_until
    if subscription.cancel_at_period_end and period_end <= subscription.paid_until:
        return None
    return subscription.paid_until + length()


def is_renewed(subscription: Subscription) -> bool:
    """Whether the plan goes on after its paid period: it is not cancelled, paused, overdue or replaced."""
    active = subscription.state == Subscription.State.ACTIVE
    return active and ends_at(subscription) is not None and not subscription.next_plan


def credits_until(subscription: Subscription) -> datetime | None:
    """Until when the plan's daily and monthly credits are granted; None for a plan without payment."""
    if subscription.unpaid_credits > 0:
        return subscription.paid_until
    return ends_at(subscription) or subscription.paid_until


def is_pending(subscription: Subscription, now: datetime) -> bool:
    """Whether a period of the plan has begun whose payment is awaited and has not failed."""
    until = ends_at(subscription)
    if until is None or subscription.paid_until is None or subscription.state != Subscription.State.ACTIVE:
        return False
    return subscription.paid_until <= now < until


def restores_credits(subscription: Subscription, now: datetime) -> bool:
    """Whether a renewal is pending whose payment brings monthly credits."""
    if not is_pending(subscription, now):
        return False
    plan = Plan.objects.filter(key=subscription.next_plan or subscription.plan).first()
    return plan is not None and any(allowance["period"] == "month" for allowance in plan.allowances)


def monthly_keys(*plans: Plan | None) -> list[str]:
    """The ledger's keys of the monthly allowances whose credits end with the month."""
    return [
        f"{plan.key}:{allowance['key']}"
        for plan in plans
        if plan is not None
        for allowance in plan.allowances
        if allowance["period"] == "month" and allowance["lasts"] == "period"
    ]


def credits_used(account_id: UUID, keys: list[str], since: datetime) -> Decimal:
    """What was spent or is held of these allowances' grants since a time. The wallet must be locked."""
    grants = Grant.objects.filter(account_id=account_id, allowance__in=keys, created_at__gte=since)
    used = grants.aggregate(used=Sum(F("spent") + F("held")))["used"]
    return max(Decimal(0), used or Decimal(0))
