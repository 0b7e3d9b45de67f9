"""Subscriptions at Stripe that an account must not have: a second one, or one whose first payment failed.

Invariants: an account has one subscription in force, the first that was applied; whether another is surplus
is decided once, under the lock of the account's subscription, and stored before Stripe is called; a surplus
subscription never enters, grants nothing, is cancelled at Stripe, and each of its payments is refunded in
full, once (fulfilment.record_surplus_payment). What a killed process leaves is carried out from the rows.
"""

from datetime import datetime
from uuid import UUID

import structlog

from billing import stripe_gateway
from billing.models import Purchase, SurplusSubscription
from billing.payments import fulfilment

log = structlog.get_logger(__name__)
Reason = SurplusSubscription.Reason


def record(account_id: UUID, stripe_subscription_id: str, *, reason: str, now: datetime) -> None:
    """Decide that a subscription is surplus, once; the account's subscription is locked."""
    row, created = SurplusSubscription.objects.get_or_create(
        stripe_subscription_id=stripe_subscription_id,
        defaults={"account_id": account_id, "reason": reason, "created_at": now},
    )
    if not created:
        return
    log.error(
        "surplus_subscription", alert=True, stripe_subscription=stripe_subscription_id, reason=str(row.reason)
    )
    paid = Purchase.objects.filter(
        account_id=account_id,
        stripe_subscription_id=stripe_subscription_id,
        status=Purchase.Status.PAID,
    )
    for purchase_id in paid.order_by("pk").values_list("pk", flat=True):
        fulfilment.refund_surplus(purchase_id, now)


def record_pending(account_id: UUID, *, except_id: str, now: datetime) -> None:
    """A plan is in force: the subscriptions whose payments are still pending become surplus."""
    pending = Purchase.objects.filter(
        account_id=account_id, kind=Purchase.Kind.PLAN, status=Purchase.Status.PENDING
    ).exclude(stripe_subscription_id__in=["", except_id])
    for stripe_id in pending.order_by("pk").values_list("stripe_subscription_id", flat=True):
        record(account_id, stripe_id, reason=Reason.SECOND, now=now)


def is_surplus(stripe_subscription_id: str) -> bool:
    return SurplusSubscription.objects.filter(stripe_subscription_id=stripe_subscription_id).exists()


def cancel_recorded(now: datetime) -> int:
    """Cancel at Stripe what is not cancelled yet; the number. Safe to repeat and to run concurrently.

    A subscription that Stripe refuses to cancel keeps the reason for staff and is tried again. The order is
    random, so that refused ones, however many, keep no other waiting.
    """
    rows = SurplusSubscription.objects.filter(cancelled_at=None).order_by("?")
    cancelled = 0
    for row in rows[:100]:
        open_row = SurplusSubscription.objects.filter(pk=row.pk, cancelled_at=None)
        try:
            stripe_gateway.cancel_subscription(row.stripe_subscription_id)
        except stripe_gateway.ResourceMissing:  # it has ended already
            pass
        except stripe_gateway.StripeError as error:
            log.warning("surplus_not_cancelled", stripe_subscription=row.stripe_subscription_id)
            open_row.update(error=str(error)[:500])
            continue
        cancelled += open_row.update(cancelled_at=now, error="")
    return cancelled
