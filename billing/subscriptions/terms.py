"""What a plan means for the ledger: which credits come when, which uses are counted, which cost nothing.

Invariants: an allowance's key carries its plan's, so that leaving a plan and coming back within a period
gives nothing twice; credits of a paid plan come only until it is paid for; what a plan gives once is given
by its own rule, not by entering the plan again.
"""

from datetime import datetime
from decimal import Decimal
from uuid import UUID

from billing import ledger
from billing.models import Limit
from pricing.models import Plan


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
) -> None:
    """Make the ledger follow the plan: allowances, and quotas in place of those of the plan before."""
    terms = allowances(plan, anchor_at=anchor_at, ends_at=ends_at, once_at=once_at)
    ledger.set_allowances(account_id=account_id, allowances=terms, carry_over=carry_over, now=now)
    _set_quotas(plan, account_id=account_id, now=now)


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
