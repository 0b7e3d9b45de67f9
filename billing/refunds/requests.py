"""Refunds: requests, decisions of staff, and the call to Stripe; `stripe_refunds` has what follows there.

Invariants: spent credits are not refunded on request; the credits leave the balance at the approval, in the
transaction that fixes the amount, before Stripe is called. Lock order: purchase, refund, wallet.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_FLOOR, Decimal
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext as _

from accounts.models import User
from billing import ledger, selectors, stripe_gateway
from billing.models import Purchase, Refund
from billing.payments import fulfilment
from billing.refunds import stripe_refunds
from core import currencies, staff_acts
from core.errors import Refusal
from pricing.catalogue import cache as catalogue_cache


class RefundRefused(Refusal):
    """A refund cannot be requested, or made."""

    field = "purchase"
    codes = (
        "not_refundable",
        "not_paid",
        "window_over",
        "already_requested",
        "nothing_unspent",
        "already_decided",
    )

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Refundable:
    """What can be refunded now: minor units for the unspent credits, and the end of the refund window."""

    amount: int
    credits: Decimal
    ends_at: datetime


def refundable(purchase: Purchase, now: datetime) -> Refundable:
    """What of a purchase can be refunded now. Raises RefundRefused with the reason when nothing can."""
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
    if purchase.refunded >= purchase.amount > 0:
        raise RefundRefused("not_refundable", _("This purchase has been refunded."))
    if purchase.disputes.filter(withdrawn=True).exists():
        raise RefundRefused("not_refundable", _("A payment that is disputed cannot be refunded."))
    credits = selectors.remaining_credits(purchase)
    amount = amount_for(purchase, credits)
    if amount <= 0 or not purchase.stripe_payment_id:
        raise RefundRefused("nothing_unspent", _why_nothing_is_left(purchase, credits))
    return Refundable(amount, credits, ends_at)


def _why_nothing_is_left(purchase: Purchase, unspent: Decimal) -> str:
    if unspent > 0:
        return _("Nothing was paid for the unspent credits of this purchase, or too little to be refunded.")
    if purchase.refunded:
        return _("The unspent credits of this purchase have been refunded, the others have been spent.")
    return _("All credits of this purchase have been spent.")


def amount_for(purchase: Purchase, credits: Decimal) -> int:
    """The price of so many unspent credits in minor units, rounded down, at most what is not refunded yet."""
    if not purchase.credits:
        return 0
    share = (Decimal(purchase.amount) * credits / purchase.credits).to_integral_value(ROUND_FLOOR)
    return min(currencies.payable(int(share), purchase.currency), purchase.amount - purchase.refunded)


def create(*, purchase: Purchase, user: User | None, message: str, now: datetime) -> Refund:
    """Request a refund; `message` is what the buyer wrote. Raises RefundRefused."""
    with transaction.atomic():
        purchase = fulfilment.lock_purchase(purchase.pk)
        offer = refundable(purchase, now)
        refund = Refund.objects.create(
            account_id=purchase.account_id,
            purchase=purchase,
            amount=offer.amount,
            currency=purchase.currency,
            credits=offer.credits,
            buyer_reason=message[:1000],
            requested_by=user,
            created_at=now,
        )
        stripe_refunds.queue_email(refund, "refund_requested", now)
    return refund


def withdraw(purchase: Purchase, now: datetime) -> Refund:
    """Withdraw the request that is not decided yet; another may follow. Raises RefundRefused without one."""
    with transaction.atomic():
        requested = purchase.refunds.filter(status=Refund.Status.REQUESTED).first()
        if requested is None:
            raise RefundRefused("already_decided", _("This request was already decided or withdrawn."))
        refund = _lock_requested(requested)
        refund.status, refund.closed_at = Refund.Status.WITHDRAWN, now
        refund.save(update_fields=["status", "closed_at"])
    return refund


def refuse(refund: Refund, *, actor: str, reason: str, now: datetime) -> None:
    """Refuse a request; the buyer is sent the reason. Raises RefundRefused when it is already decided."""
    with transaction.atomic():
        refund = _lock_requested(refund)
        refund.status, refund.decided_by, refund.decision = Refund.Status.REFUSED, actor, reason[:1000]
        refund.decided_at = refund.closed_at = now
        refund.save()
        stripe_refunds.queue_email(refund, "refund_refused", now)


def approve(refund: Refund, *, actor: str, reason: str, now: datetime, by: UUID | None = None) -> Refund:
    """Approve a request: the unspent credits leave the balance and set the amount, then Stripe is called.

    `by`: the member of staff, for the audit log. Credits spent since the request are not refunded. When
    Stripe cannot be reached, the refund stays approved and `send_approved` sends it later. Raises
    RefundRefused when nothing is left or it is already decided.
    """
    with transaction.atomic():
        purchase = fulfilment.lock_purchase(refund.purchase_id)
        refund = _lock_requested(refund)
        clawback = ledger.claw_back(
            account_id=refund.account_id,
            purchase_id=purchase.pk,
            key=refund.key,
            unspent_only=True,
            reason=f"refund {refund.public_id}",
            actor="staff",  # members read the ledger; who decided is stored with the refund
            now=now,
        )
        amount = amount_for(purchase, clawback.credits)
        if amount <= 0:
            raise RefundRefused(
                "nothing_unspent", _("All credits of this purchase have been spent since the request.")
            )
        fulfilment.add_refunded_amount(purchase, amount)
        refund.status, refund.amount, refund.credits = Refund.Status.APPROVED, amount, clawback.credits
        refund.decided_by, refund.decision, refund.decided_at = actor, reason[:1000], now
        refund.save()
        if by is not None:
            staff_acts.record(
                actor_id=by,
                act="refund.approve",
                subject=refund,
                reason=reason,
                before={"status": Refund.Status.REQUESTED},
                after=staff_acts.fields_of(refund, ["status", "amount", "currency", "credits"]),
                now=now,
            )
    return send(refund, now)


def send(refund: Refund, now: datetime, *, again: bool = False) -> Refund:
    """Create an approved refund at Stripe, with the refund as the idempotency key.

    `again` looks it up first: an earlier request may be older than Stripe keeps keys.
    """
    if refund.status != Refund.Status.APPROVED:
        return refund
    payment = Purchase.objects.values_list("stripe_payment_id", flat=True).get(pk=refund.purchase_id)
    try:
        sent = stripe_gateway.find_refund(payment_id=str(payment), refund=refund.public_id) if again else None
        facts = sent or stripe_gateway.create_refund(
            key=refund.key, payment_id=str(payment), amount=refund.amount, refund=refund.public_id
        )
    except stripe_gateway.StripeUnavailable as error:
        Refund.objects.filter(pk=refund.pk).update(error=str(error)[:500])
    except stripe_gateway.StripeError as error:
        stripe_refunds.mark_failed(refund.pk, str(error), now)
    else:
        stripe_refunds.apply_stripe_refund(facts, now)
    refund.refresh_from_db()
    return refund


def send_approved(now: datetime) -> int:
    """Send refunds approved while Stripe could not be reached or before a process died; the number sent."""
    approved = list(Refund.objects.filter(status=Refund.Status.APPROVED).order_by("pk")[:100])
    for refund in approved:
        send(refund, now, again=True)
    return len(approved)


def _lock_requested(refund: Refund) -> Refund:
    refund = Refund.objects.select_for_update(no_key=True).get(pk=refund.pk)
    if refund.status != Refund.Status.REQUESTED:
        raise RefundRefused("already_decided", _("This request was already decided or withdrawn."))
    return refund
