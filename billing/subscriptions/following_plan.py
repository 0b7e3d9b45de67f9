"""The plan that begins after the paid period: a scheduled change, the free plan after a cancellation, or the
plan itself after a pause.

Invariant: only what is scheduled counts; a plan that is renewed, and one whose payment is overdue, has none.
"""

from dataclasses import dataclass
from datetime import datetime

from billing import ledger
from billing.models import Subscription
from billing.subscriptions import ledger_terms
from billing.validity import add_months, months_since
from pricing.models import Plan


@dataclass(frozen=True)
class FollowingPlan:
    """A plan, when it begins, and its recurring allowances."""

    plan: Plan
    at: datetime
    terms: list[ledger.AllowanceTerms]


def of(subscription: Subscription, now: datetime) -> FollowingPlan | None:
    """The plan that follows the subscription's present one; None when none is scheduled."""
    end = subscription.period_end or subscription.paid_until
    if end is None or end <= now:
        return None
    if subscription.cancel_at_period_end:
        return _from(Plan.objects.filter(free=True, retired_at=None).first(), end, end)
    if not subscription.paid:
        return None
    if subscription.pause_behavior and subscription.paused_until:
        month = months_since(subscription.anchor_at, subscription.paused_until) + 1
        at = max(end, add_months(subscription.anchor_at, month))
        return _from(_plan(subscription.plan), at, subscription.anchor_at)
    if subscription.next_plan and subscription.state == Subscription.State.ACTIVE:
        start, _end = ledger_terms.month_of(subscription.anchor_at, end)
        return _from(_plan(subscription.next_plan), end, subscription.anchor_at if start == end else end)
    return None


def _plan(key: str) -> Plan | None:
    return Plan.objects.filter(key=key).first()


def _from(plan: Plan | None, at: datetime, anchor_at: datetime) -> FollowingPlan | None:
    if plan is None:
        return None
    terms = ledger_terms.allowance_terms(plan, anchor_at=anchor_at, ends_at=None, once_at=None)
    return FollowingPlan(plan, at, terms)
