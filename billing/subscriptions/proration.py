"""The credits of a plan that replaces another within a paid period.

Invariant: credits and money are prorated alike, from the same second. Stripe credits the unused time of the
old price and charges the new one, in full for a new period
(https://docs.stripe.com/billing/subscriptions/prorations,
https://docs.stripe.com/billing/subscriptions/billing-cycle).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_DOWN, Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID

from billing import ledger
from billing.validity import add_months, months_since
from pricing.models import Plan


@dataclass(frozen=True, kw_only=True)
class ReplacedPlan:
    """The paid plan that another replaces before its period ends.

    `at`: the instant from which its price is credited. `restarts`: the new plan's period begins then and is
    paid in full; otherwise the current period continues and the new plan is paid for the rest of it.
    """

    plan: Plan
    anchor_at: datetime
    at: datetime
    restarts: bool


def first_credits(
    plan: Plan, replaced: ReplacedPlan, *, account_id: UUID, carry_over: bool, now: datetime
) -> dict[str, Decimal]:
    """What a plan grants at once when it replaces another: credits by the allowance's key.

    Monthly: the new plan's credits less the old plan's for the unused time, besides what is carried over;
    unspent credits that are not carried over count as returned. Daily: the new plan's credits less what was
    spent of the old plan's today.
    """
    balance = ledger.balance(account_id, now)
    unused = _unused_share_of_month(replaced.anchor_at, replaced.at)
    old, same_plan = replaced.plan, plan.key == replaced.plan.key

    def unspent(period: str) -> Decimal:
        keys = {f"{old.key}:{allowance['key']}" for allowance in _allowances(old, period)}
        return sum((grant.remaining for grant in balance.grants if grant.allowance in keys), Decimal(0))

    months_begun = months_since(replaced.anchor_at, now) - months_since(replaced.anchor_at, replaced.at)
    # The old plan's credits of months that began since then are kept, and were credited with its price.
    deduction = Fraction(_total(old, "month")) * (unused + max(0, months_begun))
    if not carry_over and not same_plan:
        deduction = max(Fraction(0), deduction - Fraction(unspent("month")))
    credits = _prorate(plan, "month", deduction, share=Fraction(1) if replaced.restarts else unused)
    if not same_plan:
        spent_today = max(Decimal(0), _total(old, "day") - unspent("day"))
        credits |= _prorate(plan, "day", Fraction(spent_today), share=Fraction(1))
    return credits


def credited_from(plan: Plan, replaced: ReplacedPlan) -> datetime:
    """The instant from which the old price can be credited: `replaced.at`, or later.

    The old plan's credits for the unused time are deducted from the new plan's. Where those are fewer, less
    time is credited, so that no more money is returned than credits are deducted. A whole second, rounded up.
    """
    old, new = _total(replaced.plan, "month"), _total(plan, "month")
    if Fraction(old) * _unused_share_of_month(replaced.anchor_at, replaced.at) <= new:
        return replaced.at
    month = months_since(replaced.anchor_at, replaced.at)
    start, end = add_months(replaced.anchor_at, month), add_months(replaced.anchor_at, month + 1)
    seconds = int(Fraction(new) / Fraction(old) * int((end - start).total_seconds()))
    return end - timedelta(seconds=max(1, seconds))


def _allowances(plan: Plan, period: str) -> Iterable[dict[str, Any]]:
    return (allowance for allowance in plan.allowances if allowance["period"] == period)


def _total(plan: Plan, period: str) -> Decimal:
    return sum((Decimal(allowance["credits"]) for allowance in _allowances(plan, period)), Decimal(0))


def _prorate(plan: Plan, period: str, deduction: Fraction, *, share: Fraction) -> dict[str, Decimal]:
    """The plan's credits times `share`, less `deduction`, rounded down."""
    prorated = {}
    for allowance in _allowances(plan, period):
        full = Fraction(Decimal(allowance["credits"])) * share
        deducted = min(full, deduction)
        deduction -= deducted
        rest = full - deducted
        credits = Decimal(rest.numerator) / Decimal(rest.denominator)
        prorated[f"{plan.key}:{allowance['key']}"] = credits.quantize(Decimal("0.01"), ROUND_DOWN)
    return prorated


def _unused_share_of_month(anchor_at: datetime, at: datetime) -> Fraction:
    """The share of the month, counted from the anchor, that is left at an instant."""
    months = months_since(anchor_at, at)
    start, end = add_months(anchor_at, months), add_months(anchor_at, months + 1)
    return Fraction(int((end - at).total_seconds()), int((end - start).total_seconds()))
