"""A plan's allowances and quotas as terms of the account's wallet in the ledger.

Invariant: an allowance's key contains its plan's key, so that leaving a plan and returning within a period
grants nothing twice.
"""

from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from billing import ledger
from billing.models import Limit
from billing.subscriptions import proration
from pricing.models import Plan


def allowance_terms(
    plan: Plan, *, anchor_at: datetime, ends_at: datetime | None, once_at: datetime | None
) -> list[ledger.AllowanceTerms]:
    """The plan's allowances as the ledger takes them.

    `ends_at`: when a paid plan is paid until. `once_at`: the time of the one-time allowances; None omits
    them.
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
            ends_at=ends_at,
        )
        for allowance in plan.allowances
        if once_at or allowance["period"] != "once"
    ]


def has_one_time_allowances(plan: Plan) -> bool:
    return any(allowance["period"] == "once" for allowance in plan.allowances)


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
) -> None:
    """Replace the account's allowances and quotas in the ledger by the plan's.

    `replaced`: the plan whose paid period this one ends early or shares; its unused part is deducted.
    """
    allowances = allowance_terms(plan, anchor_at=anchor_at, ends_at=ends_at, once_at=once_at)
    if replaced is not None:
        # Grants the prorated amounts of the current period; the full ones set below count from the next
        # period.
        first = proration.first_credits(plan, replaced, account_id=account_id, carry_over=carry_over, now=now)
        prorated = [replace(terms, credits=first.get(terms.key, terms.credits)) for terms in allowances]
        ledger.set_allowances(account_id=account_id, allowances=prorated, carry_over=carry_over, now=now)
    ledger.set_allowances(account_id=account_id, allowances=allowances, carry_over=carry_over, now=now)
    _set_quotas(plan, account_id=account_id, now=now)


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
