"""Periods of plans whose payment has left by a refund or a dispute: they give no credits."""

from datetime import datetime
from uuid import UUID

from billing.models import WithdrawnPlanPayment
from billing.payments import plan_grants


def is_withheld(account_id: UUID, subscription_id: str, period_start: datetime) -> bool:
    """Whether the payment of the subscription's period that began at `period_start` has left."""
    rows = WithdrawnPlanPayment.objects.filter(
        withdrawn=True,
        purchase__account_id=account_id,
        purchase__stripe_subscription_id__in=["", subscription_id],
    )
    periods = [plan_grants.paid_period(row.purchase) for row in rows.select_related("purchase")]
    return any(period[0] <= period_start < period[1] for period in periods if period)
