"""Plan payments whose whole amount was refunded or disputed: the plan follows, here and at Stripe.

Invariants: the plan gives no credits for a period whose payment has left, whatever Stripe's subscription
says (`is_withheld`, which stripe_sync asks); the subscription at Stripe is cancelled by a request outside of
every transaction, which is repeated until it was made (`due`); a payment that comes back lets the plan go on
if Stripe's subscription still lives. Locks: the account's subscription before the purchase of its plan
(docs/decisions/0070-order-of-locks.md).
"""

from datetime import datetime

import structlog
from django.db import transaction
from django.db.models import Q

from billing import stripe_gateway
from billing.models import Purchase, Refund, Subscription, WithdrawnPlanPayment
from billing.payments import clawbacks, fulfilment, plan_grants, withheld_periods
from billing.refunds import credit_balances
from billing.subscriptions import lifecycle, stripe_objects, stripe_sync, unpaid_credits
from core.errors import DomainError
from pricing.catalogue import cache as catalogue_cache

log = structlog.get_logger(__name__)


def lock_purchase(purchase: Purchase) -> Purchase:
    """Lock a claim's purchase until the transaction ends, a plan's after the account's subscription."""
    if purchase.kind == Purchase.Kind.PLAN:
        lifecycle.lock_subscription(purchase.account_id)
    return fulfilment.lock_purchase(purchase.pk)


def follow_claims(purchase: Purchase, now: datetime) -> None:
    """Record whether a plan payment's money has left, after a change of its claims. Locked by lock_purchase.

    If it has, the plan gives no more credits from now on; `bring_subscriptions_in_line` does the rest.
    """
    if purchase.kind != Purchase.Kind.PLAN or purchase.status != Purchase.Status.PAID:
        return
    row = WithdrawnPlanPayment.objects.filter(pk=purchase.pk).first()
    withdrawn = clawbacks.is_withdrawn(purchase)
    if withdrawn == (row is not None and row.withdrawn):
        return
    row = row or WithdrawnPlanPayment(purchase=purchase)
    row.withdrawn, row.due, row.changed_at = withdrawn, True, now
    row.save()
    subscription = Subscription.objects.get(account_id=purchase.account_id)
    unpaid_credits.follow_payment(subscription, purchase, withdrawn=withdrawn, now=now)
    stripe_id = subscription.stripe_subscription_id
    if (
        stripe_id
        and subscription.state == Subscription.State.ACTIVE
        and withheld_periods.is_withheld(purchase.account_id, stripe_id, subscription.period_start)
    ):
        subscription.recovery_url = ""
        lifecycle.mark_past_due(subscription, now=now)


def bring_subscriptions_in_line(now: datetime) -> int:
    """Make what is due at Stripe: cancel the subscription of a withdrawn payment, or fetch its state.

    Returns the number of payments done. Those that Stripe does not answer for stay due.
    """
    done = 0
    for row in WithdrawnPlanPayment.objects.filter(due=True).select_related("purchase")[:100]:
        try:
            _bring_in_line(row, now)
        except (stripe_gateway.StripeUnavailable, stripe_sync.StaleSnapshot) as error:
            log.warning("plan_payment_postponed", purchase=row.purchase.public_id, error=str(error))
            continue
        except DomainError as error:  # another attempt cannot succeed before staff have looked at it
            log.exception(
                "plan_payment_failed", alert=True, purchase=row.purchase.public_id, error=str(error)
            )
        # A change in the meantime is due again.
        same = WithdrawnPlanPayment.objects.filter(
            pk=row.pk, withdrawn=row.withdrawn, changed_at=row.changed_at
        )
        done += same.update(due=False)
    return done


def _bring_in_line(row: WithdrawnPlanPayment, now: datetime) -> None:
    """Send the requests of one payment. Safe to repeat: each finds what an earlier attempt did."""
    subscription_id = row.purchase.stripe_subscription_id or _subscription_of_invoice(row.purchase)
    if not subscription_id:
        return
    if not (row.withdrawn and _is_cancelled_by_policy(row.purchase, now) and _cancel(subscription_id, now)):
        stripe_sync.synchronize(subscription_id, now)
    credit_balances.bring_in_line(row.purchase, subscription_id, withdrawn=row.withdrawn)


def _cancel(subscription_id: str, now: datetime) -> bool:
    """Cancel the subscription at Stripe; False when it is cancelled already."""
    try:
        payload = stripe_gateway.cancel_subscription(subscription_id)
    except (stripe_gateway.ResourceMissing, stripe_gateway.InvalidRequest):
        return False
    stripe_sync.apply_snapshot(payload, now)
    return True


def _is_cancelled_by_policy(purchase: Purchase, now: datetime) -> bool:
    """A dispute ends the plan whichever period it is about, a refund only while its period runs.

    The period of a payment ends early when another one is paid for a change of plan.
    """
    if catalogue_cache.current().policies.plan_dispute != "cancel":
        return False
    period = plan_grants.paid_period(purchase)
    runs = period is not None and now < period[1]
    return runs or purchase.disputes.filter(withdrawn=True).exists()


def _subscription_of_invoice(purchase: Purchase) -> str | None:
    """For payments recorded before the purchase had the subscription's id."""
    if not purchase.stripe_invoice_id:
        return None
    invoice = stripe_gateway.retrieve_invoice(purchase.stripe_invoice_id)
    return stripe_objects.invoice_subscription_id(invoice)


def apply_claims_to_new_grants(now: datetime) -> None:
    """Take back the part of what plans have granted since their payment was refunded or disputed."""
    left = Q(refunds__status__in=[Refund.Status.APPROVED, Refund.Status.PENDING, Refund.Status.DONE])
    claimed = Purchase.objects.filter(left | Q(disputes__withdrawn=True), kind=Purchase.Kind.PLAN)
    for purchase in claimed.filter(status=Purchase.Status.PAID, period_end__gt=now).distinct():
        with transaction.atomic():
            purchase = lock_purchase(purchase)
            clawbacks.apply_active_claims(purchase, now)
            follow_claims(purchase, now)
