"""The columns of a comparison of plans."""

from typing import Any

from billing.models import Subscription
from pricing.models import Plan


def column_of(plan: Plan, interval: str, currency: str, current: Subscription | None) -> dict[str, Any]:
    """A plan's column; a plan without a yearly price shows its monthly one.

    `current` is the subscription of the account for which the plans are compared; None for visitors. A legacy
    plan of the account shows what the account pays for it.
    """
    shown = interval if interval in plan.prices else next(iter(plan.prices), "")
    price = plan.prices.get(shown, {}).get(currency)
    is_current = current is not None and plan.key == current.plan
    if current is not None and is_current and plan.legacy and current.paid:
        shown, price = current.interval, current.amount
    return {
        "plan": plan,
        "interval": shown,
        "price": price,
        "current": is_current,
        "same_interval": current is not None and is_current and current.interval in {"", shown},
        "scheduled": current is not None and _is_scheduled(plan, current),
        "allowances": plan.allowances,
    }


def _is_scheduled(plan: Plan, current: Subscription) -> bool:
    """Whether the plan follows at the end of the paid period: a downgrade, or the free plan."""
    return bool(plan.key == current.following_plan or (plan.free and current.cancel_at_period_end))
