"""What a plan means for the ledger: which credits come when, which uses are counted, which cost nothing.

Invariants: an allowance's key carries its plan's, so that leaving a plan and coming back within a period
gives nothing twice; credits of a paid plan come only until it is paid for; what a plan gives once is given
by its own rule, not by entering the plan again; a plan that replaces another within a paid period gives
credits in proportion to what is paid for it.
"""

import calendar
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import ROUND_DOWN, Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID

from billing import ledger
from billing.models import Limit
from pricing.models import Plan

SMALLEST = Decimal("0.000001")


@dataclass(frozen=True, kw_only=True)
class Replaced:
    """The paid plan that another replaces before its period ends.

    `at`: the instant from which its price is credited. `restarts`: the new plan's period begins then and is
    paid in full; otherwise the running period goes on and the new plan is paid for the rest of it.
    """

    plan: Plan
    anchor_at: datetime
    at: datetime
    restarts: bool


def allowances(
    plan: Plan, *, anchor_at: datetime, ends_at: datetime | None, once_at: datetime | None
) -> list[ledger.AllowanceTerms]:
    """The ledger's terms of a plan. `once_at`: from when what it gives once counts; None: left out."""
    return [
        ledger.AllowanceTerms(
            key=f"{plan.key}:{row['key']}",
            kind=row["kind"],
            label=row["label"],
            credits=Decimal(row["credits"]),
            period=row["period"],
            lasts=row["lasts"],
            anchor_at=once_at if row["period"] == "once" and once_at else anchor_at,
            services=row.get("services") or None,
            priority=row.get("priority"),
            ends_at=ends_at,
        )
        for row in plan.allowances
        if once_at or row["period"] != "once"
    ]


def gives_once(plan: Plan) -> bool:
    return any(row["period"] == "once" for row in plan.allowances)


def apply(
    plan: Plan,
    *,
    account_id: UUID,
    anchor_at: datetime,
    ends_at: datetime | None,
    once_at: datetime | None,
    carry_over: bool,
    now: datetime,
    replaced: Replaced | None = None,
) -> None:
    """Make the ledger follow the plan: allowances, and quotas in place of those of the plan before."""
    terms = allowances(plan, anchor_at=anchor_at, ends_at=ends_at, once_at=once_at)
    if replaced is not None:
        # The running period gives the prorated amounts; the terms set after it count from the next period on.
        first = first_credits(plan, replaced, account_id=account_id, carry_over=carry_over, now=now)
        begun = [replace(one, credits=first.get(one.key, one.credits)) for one in terms]
        ledger.set_allowances(account_id=account_id, allowances=begun, carry_over=carry_over, now=now)
    ledger.set_allowances(account_id=account_id, allowances=terms, carry_over=carry_over, now=now)
    _set_quotas(plan, account_id=account_id, now=now)


def first_credits(
    plan: Plan, replaced: Replaced, *, account_id: UUID, carry_over: bool, now: datetime
) -> dict[str, Decimal]:
    """What a plan gives at once when it replaces another: credits by the allowance's key.

    Stripe credits the unused time of the old price and charges the new one, in full for a new period
    (https://docs.stripe.com/billing/subscriptions/billing-cycle,
    https://docs.stripe.com/billing/subscriptions/prorations).
    Monthly credits follow: the new plan's less the old plan's for the same unused time, beside what is
    carried over. Unspent credits that are not carried over count as returned. Of daily credits the day gives
    the new plan's amount in total, what was spent of the old plan's today included.
    """
    balance = ledger.balance(account_id, now)
    unused = _unused_month(replaced.anchor_at, replaced.at)
    old, same = replaced.plan, plan.key == replaced.plan.key

    def unspent(period: str) -> Decimal:
        keys = {f"{old.key}:{row['key']}" for row in _rows(old, period)}
        return sum((one.remaining for one in balance.grants if one.allowance in keys), Decimal(0))

    returned = Fraction(_total(old, "month")) * unused
    if not carry_over and not same:
        returned = max(Fraction(0), returned - Fraction(unspent("month")))
    first = _less(plan, "month", returned, share=Fraction(1) if replaced.restarts else unused)
    if not same:
        spent_today = max(Decimal(0), _total(old, "day") - unspent("day"))
        first |= _less(plan, "day", Fraction(spent_today), share=Fraction(1))
    return first


def _rows(plan: Plan, period: str) -> Iterable[dict[str, Any]]:
    return (row for row in plan.allowances if row["period"] == period)


def _total(plan: Plan, period: str) -> Decimal:
    return sum((Decimal(row["credits"]) for row in _rows(plan, period)), Decimal(0))


def _less(plan: Plan, period: str, returned: Fraction, *, share: Fraction) -> dict[str, Decimal]:
    """The plan's credits of a period times `share`, less `returned`, rounded down. A grant is never empty."""
    first = {}
    for row in _rows(plan, period):
        whole = Fraction(Decimal(row["credits"])) * share
        taken = min(whole, returned)
        returned -= taken
        credits = Decimal((whole - taken).numerator) / Decimal((whole - taken).denominator)
        first[f"{plan.key}:{row['key']}"] = max(SMALLEST, credits.quantize(Decimal("0.01"), ROUND_DOWN))
    return first


def _unused_month(anchor_at: datetime, at: datetime) -> Fraction:
    """The share of the month, counted from the anchor, that is left at an instant."""
    months = (at.year - anchor_at.year) * 12 + at.month - anchor_at.month
    if _month_start(anchor_at, months) > at:
        months -= 1
    start, end = _month_start(anchor_at, months), _month_start(anchor_at, months + 1)
    return Fraction(int((end - at).total_seconds()), int((end - start).total_seconds()))


def _month_start(anchor_at: datetime, months: int) -> datetime:
    """The anchor's day so many months on; the last day of a month that lacks it. All in UTC."""
    year, month = divmod(anchor_at.year * 12 + anchor_at.month - 1 + months, 12)
    day = min(anchor_at.day, calendar.monthrange(year, month + 1)[1])
    return anchor_at.replace(year=year, month=month + 1, day=day)


def _set_quotas(plan: Plan, *, account_id: UUID, now: datetime) -> None:
    wanted = {row["key"]: row for row in plan.quotas}
    standing = Limit.objects.filter(account_id=account_id, kind=Limit.Kind.QUOTA)
    for subject in standing.values_list("subject", flat=True):
        if subject not in wanted:
            ledger.set_limit(
                account_id=account_id, kind="quota", subject=subject, period="ever", maximum=None, now=now
            )
    for key, row in wanted.items():
        ledger.set_limit(
            account_id=account_id,
            kind="quota",
            subject=key,
            period=row["period"],
            maximum=Decimal(row["maximum"]),
            now=now,
        )
