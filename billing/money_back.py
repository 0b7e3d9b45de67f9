"""Events of money that went back (refunds, disputes): what Stripe is asked for them, and their application.

Invariants: news of a refund or dispute that overtakes the news of its payment credits the payment first, so
that nothing is forgotten whatever the order; a shape that does not name the payment is asked for afresh.
"""

from datetime import datetime

from billing import auto_top_up, disputes, refund_news, stripe_gateway
from billing.models import Purchase
from billing.stripe_gateway import Facts

# The refund, dispute or charge, and its payment where no purchase of ours has that yet.
Told = tuple[Facts, Facts | None]


def fetch_refund(refund: Facts) -> Told:
    """Raises stripe_gateway's errors."""
    named = refund if refund.get("payment_intent") else stripe_gateway.refund(str(refund["id"]))
    return _with_payment(named)


def apply_refund(told: Told, now: datetime) -> bool:
    return refund_news.follow(_after_payment(told, now), now) is not None


def fetch_dispute(dispute: Facts) -> Told:
    """Raises stripe_gateway's errors."""
    named = dispute if dispute.get("payment_intent") else stripe_gateway.dispute(str(dispute["id"]))
    return _with_payment(named)


def apply_dispute(told: Told, now: datetime) -> bool:
    return disputes.follow(_after_payment(told, now), now) is not None


def fetch_charge(charge: Facts) -> tuple[Told, list[Facts]]:
    """A charge of which something was refunded, and its refunds one by one, as Stripe has them now."""
    try:
        refunds = stripe_gateway.refunds_of(str(charge["id"]))
    except stripe_gateway.NotAtStripe:
        refunds = []
    return _with_payment({**charge, "payment_intent": charge["payment_intent"]}), refunds


def apply_charge(told: tuple[Told, list[Facts]], now: datetime) -> bool:
    charge = _after_payment(told[0], now)
    purchase = Purchase.objects.filter(stripe_payment_id=charge["payment_intent"] or "-").first()
    if purchase is None:
        return False
    for refund in told[1]:
        refund_news.follow(refund, now)
    refund_news.follow_total(purchase, int(charge["amount_refunded"]), now)
    return True


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
