"""Events of money that went back (refunds, disputes): what Stripe is asked for them, and their application.

Invariants: news of a refund or dispute that overtakes the news of its payment credits the payment first, so
that nothing is forgotten whatever the order; a shape that does not name the payment is asked for afresh.
"""

from datetime import datetime
from typing import Any

from billing import stripe_gateway
from billing.models import Purchase
from billing.purchases import auto_top_up
from billing.refunds import disputes, stripe_refunds
from billing.stripe_gateway import Facts

# The refund, dispute or charge, and its payment where no purchase of ours has that yet.
Told = tuple[Facts, Facts | None]


def fetch_refund(refund: Facts) -> tuple[Told, list[Facts]]:
    """A refund, and all of its charge as Stripe has them now: one that has failed makes room for another.

    Raises stripe_gateway's errors.
    """
    named = refund if refund.get("payment_intent") else stripe_gateway.refund(str(refund["id"]))
    return _with_payment(named), _refunds_of(named.get("charge"))


def apply_refund(told: tuple[Told, list[Facts]], now: datetime) -> bool:
    refund, ours = _after_payment(told[0], now), False
    for one in told[1]:
        ours |= stripe_refunds.follow(one, now) is not None
    # An event's picture is old where Stripe's list has the refund, except that a failure is final.
    if refund["id"] not in {one["id"] for one in told[1]} or refund.get("status") in stripe_refunds.FAILED:
        ours |= stripe_refunds.follow(refund, now) is not None
    return ours


def fetch_dispute(dispute: Facts) -> Told:
    """Raises stripe_gateway's errors."""
    named = dispute if dispute.get("payment_intent") else stripe_gateway.dispute(str(dispute["id"]))
    return _with_payment(named)


def apply_dispute(told: Told, now: datetime) -> bool:
    return disputes.follow(_after_payment(told, now), now) is not None


def fetch_charge(charge: Facts) -> tuple[Told, list[Facts]]:
    """A charge of which something was refunded, and its refunds. Raises stripe_gateway's errors."""
    return _with_payment({**charge, "payment_intent": charge["payment_intent"]}), _refunds_of(charge["id"])


def apply_charge(told: tuple[Told, list[Facts]], now: datetime) -> bool:
    charge = _after_payment(told[0], now)
    purchase = Purchase.objects.filter(stripe_payment_id=charge["payment_intent"] or "-").first()
    if purchase is None:
        return False
    for refund in told[1]:
        stripe_refunds.follow(refund, now)
    stripe_refunds.follow_total(purchase, int(charge["amount_refunded"]), now)
    return True


def _refunds_of(charge: Any) -> list[Facts]:
    """What Stripe has of a charge's refunds."""
    charge_id = charge["id"] if isinstance(charge, dict) else charge
    try:
        found = stripe_gateway.refunds_of(str(charge_id)) if charge_id else []
    except stripe_gateway.NotAtStripe:
        found = []
    return stripe_refunds.failed_first(found)


def _with_payment(thing: Facts) -> Told:
    payment = thing.get("payment_intent")
    payment_id = payment["id"] if isinstance(payment, dict) else payment
    thing = {**thing, "payment_intent": payment_id}
    if not payment_id or Purchase.objects.filter(stripe_payment_id=payment_id).exists():
        return thing, None
    try:
        return thing, stripe_gateway.payment(str(payment_id))
    except stripe_gateway.NotAtStripe:
        return thing, None


def _after_payment(told: Told, now: datetime) -> Facts:
    thing, payment = told
    if payment is not None and payment.get("status") == "succeeded":
        auto_top_up.follow(payment, now)
    return thing
