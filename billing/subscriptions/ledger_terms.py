"""A plan's allowances and quotas as terms of the account's wallet in the ledger.

Invariant: an allowance's key contains its plan's key, so that leaving a plan and returning within a period
grants nothing twice.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from billing import ledger
from billing.models import Allowance, Grant, Limit
from billing.subscriptions import proration
from billing.validity import add_months, months_since
from pricing.models import Plan


def allowance_terms(
    plan: Plan,
    *,
    anchor_at: datetime,
    ends_at: datetime | None,
    once_at: datetime | None,
    grace_until: datetime | None = None,
) -> list[ledger.AllowanceTerms]:
    """The plan's allowances as the ledger takes them.

    `ends_at`: when a paid plan is paid until; `grace_until`: until when it goes on while the next payment is
    awaited. `once_at`: the time of the one-time allowances; None omits them.
    """
    return [
        ledger.AllowanceTerms(
            key=f"{plan.key}:{allowance['key']}",
            kind=allowance["kind"],
            label=allowance["label"],
            credits=Decimal(allowance["credits"]),
            period=allowance["period"],
            lasts=allowance["lasts"],
            anchor_at=once_at if allowance["period"] == "once" and once_at else anchor_at,
            services=allowance.get("services") or None,
            priority=allowance.get("priority"),
            ends_at=(grace_until or ends_at) if allowance["lasts"] == "period" else ends_at,
        )
        for allowance in plan.allowances
        if once_at or allowance["period"] != "once"
    ]


def has_one_time_allowances(plan: Plan) -> bool:
    return any(allowance["period"] == "once" for allowance in plan.allowances)


@dataclass(frozen=True, kw_only=True)
class Advance:
    """What the grace period of renewals changes (billing.subscriptions.grace).

    `until`: the end of the grace period. `following`: the plan that a scheduled change begins then. `unpaid`:
    credits of unpaid periods to deduct from the first month. `taken_back_since`: monthly credits granted from
    then on were taken back, and are granted again.
    """

    until: datetime | None = None
    following: Plan | None = None
    unpaid: Decimal = Decimal(0)
    taken_back_since: datetime | None = None


def apply_to_ledger(
    plan: Plan,
    *,
    account_id: UUID,
    anchor_at: datetime,
    ends_at: datetime | None,
    once_at: datetime | None,
    carry_over: bool,
    now: datetime,
    replaced: proration.ReplacedPlan | None = None,
    advance: Advance = Advance(),
) -> Decimal:
    """Replace the account's allowances and quotas in the ledger by the plan's.

    `replaced`: the plan whose paid period this one ends early or shares; its unused part is deducted. Returns
    what is left of `advance.unpaid` to deduct.
    """
    allowances = _allowances(plan, advance, anchor_at=anchor_at, ends_at=ends_at, once_at=once_at)
    unpaid = advance.unpaid
    if replaced is not None:
        # Grants the prorated amounts of the current period; the full ones set below count from the next
        # period.
        first = proration.first_credits(plan, replaced, account_id=account_id, carry_over=carry_over, now=now)
        prorated = [replace(terms, credits=first.get(terms.key, terms.credits)) for terms in allowances]
        ledger.set_allowances(account_id=account_id, allowances=prorated, carry_over=carry_over, now=now)
    elif unpaid or advance.taken_back_since:
        first_month, unpaid = _first_month(allowances, advance, account_id=account_id, now=now)
        ledger.set_allowances(account_id=account_id, allowances=first_month, carry_over=carry_over, now=now)
        carry_over = True  # what was granted again belongs to the plan's own allowance from here on
    ledger.set_allowances(account_id=account_id, allowances=allowances, carry_over=carry_over, now=now)
    _set_quotas(plan, account_id=account_id, now=now)
    return unpaid


def _allowances(
    plan: Plan, advance: Advance, *, anchor_at: datetime, ends_at: datetime | None, once_at: datetime | None
) -> list[ledger.AllowanceTerms]:
    if advance.following is None or ends_at is None or advance.until == ends_at:
        return allowance_terms(
            plan, anchor_at=anchor_at, ends_at=ends_at, once_at=once_at, grace_until=advance.until
        )
    following = allowance_terms(advance.following, anchor_at=ends_at, ends_at=advance.until, once_at=None)
    return [
        *allowance_terms(plan, anchor_at=anchor_at, ends_at=ends_at, once_at=once_at),
        *(terms for terms in following if terms.lasts == "period"),
    ]


def _first_month(
    allowances: list[ledger.AllowanceTerms], advance: Advance, *, account_id: UUID, now: datetime
) -> tuple[list[ledger.AllowanceTerms], Decimal]:
    """The terms that grant the first month less what is unpaid, and what is left of that.

    An allowance that was granted in this month grants nothing again; if it was taken back, another allowance
    grants it.
    """
    terms_of_month = []
    unpaid = advance.unpaid
    for terms in allowances:
        if terms.period != "month" or terms.lasts != "period":
            terms_of_month.append(terms)
            continue
        month_start, month_end = month_of(terms.anchor_at, now)
        given = (
            Grant.objects.filter(account_id=account_id, allowance=terms.key, created_at__gte=month_start)
            .order_by("-created_at")
            .first()
        )
        if given is not None:
            terms_of_month.append(terms)
            if advance.taken_back_since is None or given.created_at < advance.taken_back_since:
                continue
            terms = replace(terms, key=f"{terms.key}:late", ends_at=month_end)
        elif _period_has_begun(account_id, terms, now):
            terms_of_month.append(terms)  # all of it was deducted
            continue
        deducted = min(unpaid, terms.credits)
        unpaid -= deducted
        if given is None or deducted < terms.credits:
            terms_of_month.append(replace(terms, credits=terms.credits - deducted))
    return terms_of_month, unpaid


def _period_has_begun(account_id: UUID, terms: ledger.AllowanceTerms, now: datetime) -> bool:
    """Whether the ledger has begun the allowance's running month, with or without a grant."""
    rows = Allowance.objects.filter(account_id=account_id, key=terms.key, anchor_at=terms.anchor_at)
    return rows.filter(next_at__gt=now).exists()


def month_of(anchor_at: datetime, at: datetime) -> tuple[datetime, datetime]:
    """The month, counted from the anchor, that contains an instant: its start and its end."""
    months = months_since(anchor_at, at)
    return add_months(anchor_at, months), add_months(anchor_at, months + 1)


def take_back_advance(
    plan: Plan, *, account_id: UUID, anchor_at: datetime, paid_until: datetime, now: datetime
) -> None:
    """End the plan's credits; what is unspent of the month that began after the paid period expires."""
    allowances = [
        terms
        for terms in allowance_terms(plan, anchor_at=anchor_at, ends_at=paid_until, once_at=None)
        if terms.period != "month" or terms.lasts != "period"
    ]
    ledger.set_allowances(account_id=account_id, allowances=allowances, now=now)


def _set_quotas(plan: Plan, *, account_id: UUID, now: datetime) -> None:
    quotas = {quota["key"]: quota for quota in plan.quotas}
    current = Limit.objects.filter(account_id=account_id, kind=Limit.Kind.QUOTA)
    for key in current.values_list("subject", flat=True):
        if key not in quotas:
            ledger.set_limit(
                account_id=account_id, kind="quota", subject=key, period="ever", maximum=None, now=now
            )
    for key, quota in quotas.items():
        ledger.set_limit(
            account_id=account_id,
            kind="quota",
            subject=key,
            period=quota["period"],
            maximum=Decimal(quota["maximum"]),
            now=now,
        )
