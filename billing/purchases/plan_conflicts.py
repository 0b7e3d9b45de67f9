"""Close at Stripe what an account must not pay: open Checkouts of plans, surplus subscriptions.

Invariants: an account with a plan in force, or with a pending one, has no open Checkout of a plan for long;
everything is derived from the database, so that a process that died at any step is continued by the next run.
"""

from datetime import datetime

import structlog
from django.db.models import Exists, OuterRef, Q

from billing import offers, stripe_gateway
from billing.models import Purchase, Subscription
from billing.purchases import checkout
from billing.refunds import requests
from billing.subscriptions import stripe_objects, stripe_sync, surplus

log = structlog.get_logger(__name__)


def carry_out(now: datetime) -> int:
    """Expire, cancel and refund at Stripe; the number of changes. Safe to repeat and to run concurrently.

    What Stripe does not answer or refuses is tried again by the next run.
    """
    return _expire_open_checkouts(now) + surplus.cancel_recorded(now) + requests.send_approved(now)


def _expire_open_checkouts(now: datetime) -> int:
    in_force = Subscription.objects.filter(account_id=OuterRef("account_id")).exclude(
        stripe_subscription_id=None
    )
    pending = Purchase.objects.filter(
        account_id=OuterRef("account_id"), kind=Purchase.Kind.PLAN, status=Purchase.Status.PENDING
    )
    unpaid = Purchase.objects.filter(kind=Purchase.Kind.PLAN, status=Purchase.Status.CREATED)
    conflicting = unpaid.filter(Q(Exists(in_force)) | Q(Exists(pending)))
    closed = 0
    for purchase in conflicting.order_by("?")[:100]:  # those that Stripe refuses keep no other waiting
        try:
            closed += checkout.cancel(purchase, now).settled
        except (
            stripe_gateway.StripeError,
            stripe_sync.StaleSnapshot,
            stripe_objects.UnmatchedObject,
            offers.PlanClosed,
        ) as error:
            log.warning("checkout_not_expired", purchase=purchase.public_id, error=str(error))
    return closed
