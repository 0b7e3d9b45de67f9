"""Money back for what is unspent of a purchase.

Invariants: spent credits are not refunded; the credits leave the balance at the approval, in the same
transaction that fixes the sum, before Stripe is asked; a refund that fails at the bank brings exactly those
credits back; each refund of Stripe's counts once, however often and in whatever order its news comes.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_FLOOR, Decimal

from django.db import transaction
from django.utils.translation import gettext as _

from accounts.models import User
from billing import ledger, minor_units, selectors, stripe_gateway
from billing.models import Purchase, Refund
from billing.payments import fulfilment
from billing.refunds import stripe_refunds
from pricing.catalogue import cache as catalogue_cache


class RefundRefused(Exception):
    """No refund can be asked for, or made. `code` says why, for programs; the text, for people."""

    field = "purchase"

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Refundable:
    """What would go back now: minor units for so many unspent credits, and until when it may be asked."""

    amount: int
    credits: Decimal
    ends_at: datetime


def refundable(purchase: Purchase, now: datetime) -> Refundable:
    """What of a purchase can go back now. Raises RefundRefused with the reason when nothing can."""
    days = catalogue_cache.current().policies.refund_window_days
    if days is None:
        raise RefundRefused("not_refundable", _("Purchases cannot be refunded here. Contact support."))
    if purchase.status != Purchase.Status.PAID or purchase.paid_at is None:
        raise RefundRefused("not_paid", _("This purchase has not been paid."))
    if purchase.kind != Purchase.Kind.PACK:
        raise RefundRefused("not_refundable", _("Only packs can be refunded. You can cancel a plan instead."))
    ends_at = purchase.paid_at + timedelta(days=days)
    if now >= ends_at:
        raise RefundRefused(
            "window_over",
            _("Refunds can be requested within %(days)s days of the payment. This period has ended.")
            % {"days": days},
        )
    if purchase.refunds.filter(status__in=Refund.OPEN).exists():
        raise RefundRefused("already_requested", _("A refund for this purchase was already requested."))
    credits = selectors.credits_left(purchase)
    amount = amount_for(purchase, credits)
    if amount <= 0 or not purchase.stripe_payment_id:
        raise RefundRefused("nothing_unspent", _("All credits of this purchase have been spent."))
    return Refundable(amount, credits, ends_at)


def amount_for(purchase: Purchase, credits: Decimal) -> int:
    """Minor units that so many unspent credits cost, rounded down, at most what is left of the payment."""
    if not purchase.credits:
        return 0
    share = (Decimal(purchase.amount) * credits / purchase.credits).to_integral_value(ROUND_FLOOR)
    return min(minor_units.payable(int(share), purchase.currency), purchase.amount - purchase.refunded)


def request(*, purchase: Purchase, user: User | None, wish: str, now: datetime) -> Refund:
    """Ask for a refund. Raises RefundRefused."""
    with transaction.atomic():
        held = fulfilment.locked(purchase.pk)
        sum_ = refundable(held, now)
        refund = Refund.objects.create(
            account_id=held.account_id,
            purchase=held,
            amount=sum_.amount,
            currency=held.currency,
            credits=sum_.credits,
            wish=wish[:1000],
            requested_by=user,
            created_at=now,
        )
    return refund


def refuse(refund: Refund, *, actor: str, reason: str, now: datetime) -> None:
    """Staff refuse a request, with the reason that the buyer reads. Raises RefundRefused when decided."""
    with transaction.atomic():
        held = _requested(refund)
        held.status, held.decided_by, held.decision = Refund.Status.REFUSED, actor, reason[:1000]
        held.decided_at = held.closed_at = now
        held.save()
        stripe_refunds.tell(held, "refund_refused", now)


def approve(refund: Refund, *, actor: str, reason: str, now: datetime) -> Refund:
    """Staff approve: the unspent credits leave the balance and the sum is theirs; then Stripe is asked.

    What was spent since the request is not refunded. Raises RefundRefused when nothing is left or it is
    decided already. When Stripe cannot be reached the refund stays approved and is sent later by itself.
    """
    with transaction.atomic():
        purchase = fulfilment.locked(refund.purchase_id)
        held = _requested(refund)
        taken = ledger.claw_back(
            account_id=held.account_id,
            purchase_id=purchase.pk,
            key=held.key,
            unspent_only=True,
            reason=f"refund {held.public_id}",
            actor=actor,
            now=now,
        )
        amount = amount_for(purchase, taken.credits)
        if amount <= 0:
            raise RefundRefused(
                "nothing_unspent", _("All credits of this purchase have been spent since the request.")
            )
        fulfilment.give_back(purchase, amount)
        held.status, held.amount, held.credits = Refund.Status.APPROVED, amount, taken.credits
        held.decided_by, held.decision, held.decided_at = actor, reason[:1000], now
        held.save()
    return send(held, now)


def send(refund: Refund, now: datetime) -> Refund:
    """Ask Stripe for an approved refund. The same call may be repeated: Stripe knows its key."""
    if refund.status != Refund.Status.APPROVED:
        return refund
    payment = Purchase.objects.values_list("stripe_payment_id", flat=True).get(pk=refund.purchase_id)
    try:
        facts = stripe_gateway.create_refund(
            key=refund.key, payment_id=str(payment), amount=refund.amount, refund=refund.public_id
        )
    except stripe_gateway.Unreachable as error:
        Refund.objects.filter(pk=refund.pk).update(trouble=str(error)[:500])
    except stripe_gateway.StripeProblem as error:
        stripe_refunds.fail(refund.pk, str(error), now)
    else:
        stripe_refunds.follow(facts, now)
    refund.refresh_from_db()
    return refund


def send_waiting(now: datetime) -> int:
    """Send what was approved while Stripe could not be reached, or by a process that died."""
    waiting = list(Refund.objects.filter(status=Refund.Status.APPROVED).order_by("pk")[:100])
    for refund in waiting:
        send(refund, now)
    return len(waiting)


def _requested(refund: Refund) -> Refund:
    held = Refund.objects.select_for_update().get(pk=refund.pk)
    if held.status != Refund.Status.REQUESTED:
        raise RefundRefused("already_decided", _("This request was already decided."))
    return held
