"""Refunds at Stripe: updates of requested ones, and those made in Stripe's dashboard.

Invariants: a refund that fails at the bank restores exactly the credits that it took; each refund at Stripe
counts once, whatever the number and order of its events; a refund made in Stripe's dashboard takes back the
credits it paid for, and credits already spent become debt. Lock order: purchase, refund, wallet.
"""

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import Q

from billing.models import Purchase, Refund
from billing.notifications import emails, webhook_events
from billing.payments import clawbacks, fulfilment
from billing.promotions import referrals
from billing.refunds import plan_payments
from billing.stripe_gateway import StripeObject
from core.amounts import plain

FAILED_AT_STRIPE = {"failed", "canceled"}  # Stripe's final statuses of a refund whose money did not leave


def apply_stripe_refund(facts: StripeObject, now: datetime) -> Refund | None:
    """Bring a refund to its status at Stripe, creating it if needed. None: no purchase has its payment."""
    with transaction.atomic():
        refund = _find(facts) or _create_from_stripe(facts, now)
        if refund is None:
            return None
        purchase, refund = _lock(refund)
        _record_stripe_facts(refund, facts)
        status = facts.get("status")
        if status in FAILED_AT_STRIPE:
            mark_failed(refund.pk, str(facts.get("failure_reason") or status), now)
        elif status == "succeeded" and refund.status in {Refund.Status.APPROVED, Refund.Status.PENDING}:
            refund.status, refund.closed_at, refund.error = Refund.Status.DONE, now, ""
            refund.save(update_fields=["status", "closed_at", "error"])
            webhook_events.purchase_refunded(purchase, refund, now)
            queue_email(refund, "refunded", now)
            _update_rewards(refund.purchase_id, now)
        elif refund.status == Refund.Status.APPROVED:
            refund.status, refund.error = Refund.Status.PENDING, ""
            refund.save(update_fields=["status", "error"])
    return refund


def apply_refunded_total(purchase: Purchase, total: int, now: datetime) -> None:
    """Take back the credits for a charge's total refunded amount that no recorded refund covers.

    An event of the missing refund that arrives later finds the row created here and is not counted again.
    The total also contains refunds that have failed since.
    """
    with transaction.atomic():
        purchase = plan_payments.lock_purchase(purchase)
        unsent = Q(status=Refund.Status.FAILED, stripe_refund_id=None)
        undecided = Q(status__in=Refund.NOT_APPROVED)
        recorded = sum(purchase.refunds.exclude(unsent | undecided).values_list("amount", flat=True))
        if total > recorded and purchase.status == Purchase.Status.PAID:
            refund = _record_refunded(purchase, total - recorded, None, now)
            webhook_events.purchase_refunded(purchase, refund, now)


def mark_failed(refund_id: UUID, reason: str, now: datetime) -> None:
    """The money did not leave: restore the credits and show staff the reason."""
    with transaction.atomic():
        purchase, refund = _lock(Refund.objects.get(pk=refund_id))
        if refund.status in {Refund.Status.FAILED, *Refund.NOT_APPROVED}:
            return
        refund.status, refund.error, refund.closed_at = Refund.Status.FAILED, reason[:500], now
        refund.save(update_fields=["status", "error", "closed_at"])
        fulfilment.add_refunded_amount(purchase, -refund.amount)
        clawbacks.restore_credits(refund, purchase, now, why="failed")
        plan_payments.follow_claims(purchase, now)
        _update_rewards(purchase.pk, now)
        queue_email(refund, "refund_failed", now)


def failed_first(refunds: Iterable[StripeObject]) -> list[StripeObject]:
    """Stripe's refunds in the order of application: a failed one frees the amount for the next."""
    return sorted(
        refunds, key=lambda refund: (refund.get("status") not in FAILED_AT_STRIPE, refund.get("created") or 0)
    )


def _find(facts: StripeObject) -> Refund | None:
    """The refund with Stripe's id, else the one named in the metadata of our call.

    A refund that was marked as failed without Stripe's id is not found by its name: if its money has left
    after all, the credits that were restored have to be taken back again.
    """
    found = Refund.objects.filter(stripe_refund_id=facts["id"]).first()
    if found is not None:
        return found
    named = Refund.with_public_id(str((facts.get("metadata") or {}).get("refund", "")))
    if named is None or named.stripe_refund_id or named.status == Refund.Status.FAILED:
        return None
    return named


def _create_from_stripe(facts: StripeObject, now: datetime) -> Refund | None:
    """Record a refund made in Stripe's dashboard, or missing here after an older backup was restored."""
    refunded = Purchase.objects.filter(stripe_payment_id=facts.get("payment_intent") or "-").first()
    if refunded is None:
        return None
    purchase = plan_payments.lock_purchase(refunded)
    existing = Refund.objects.filter(stripe_refund_id=facts["id"]).first()
    if existing is not None:  # created by a concurrent event before the lock was free
        return existing
    amount, stripe_id = int(facts["amount"]), str(facts["id"])
    if purchase.status != Purchase.Status.PAID:
        _append_reason(purchase, f"{amount} {purchase.currency.upper()} refunded at Stripe ({stripe_id})")
        return None
    if str(facts.get("status")) in FAILED_AT_STRIPE:
        # Recorded, so that a late event of an earlier status takes nothing back.
        return _create(purchase, amount, stripe_id, now, status=Refund.Status.FAILED)
    unnamed = purchase.refunds.filter(stripe_refund_id=None, status=Refund.Status.DONE, requested_by=None)
    match = unnamed.filter(amount=amount).first() or unnamed.filter(amount__gt=amount).first()
    if match is None:
        refund = _record_refunded(purchase, amount, stripe_id, now)
        webhook_events.purchase_refunded(purchase, refund, now)
        return refund
    return match if match.amount == amount else _split(match, purchase, amount, stripe_id, now)


def _split(total: Refund, purchase: Purchase, amount: int, stripe_id: str, now: datetime) -> Refund:
    """Replace the row of a total that covered several refunds by this refund and a row for the rest."""
    total.status = Refund.Status.FAILED
    total.save(update_fields=["status"])
    fulfilment.add_refunded_amount(purchase, -total.amount)
    purchase.refresh_from_db(fields=["refunded"])
    clawbacks.restore_credits(total, purchase, now, why="split")
    rest = total.amount - amount
    total.delete()
    _record_refunded(purchase, rest, None, now)
    return _record_refunded(purchase, amount, stripe_id, now)


def _record_refunded(purchase: Purchase, amount: int, stripe_id: str | None, now: datetime) -> Refund:
    """Record money refunded at Stripe and take back its credits; credits already spent become debt."""
    refund = _create(purchase, amount, stripe_id, now, status=Refund.Status.DONE)
    fulfilment.add_refunded_amount(purchase, amount)
    purchase.refresh_from_db(fields=["refunded"])
    clawbacks.take_back(refund, purchase, now)
    plan_payments.follow_claims(purchase, now)
    _update_rewards(purchase.pk, now)
    return refund


def _create(purchase: Purchase, amount: int, stripe_id: str | None, now: datetime, *, status: str) -> Refund:
    return Refund.objects.create(
        account_id=purchase.account_id,
        purchase=purchase,
        amount=amount,
        currency=purchase.currency,
        status=status,
        stripe_refund_id=stripe_id,
        decided_by="Stripe",
        created_at=now,
        decided_at=now,
        closed_at=now,
    )


def _record_stripe_facts(refund: Refund, facts: StripeObject) -> None:
    """Store the refund's id at Stripe, and the number with which the buyer's bank finds it.

    The number arrives up to seven business days later (https://docs.stripe.com/refunds#tracing-refunds).
    """
    details = facts.get("destination_details") or {}
    destination = details.get(str(details.get("type"))) or {}
    recorded = (refund.stripe_refund_id, refund.reference, refund.reference_status)
    refund.stripe_refund_id = refund.stripe_refund_id or facts["id"]
    refund.reference = str(destination.get("reference") or refund.reference)[:255]
    refund.reference_status = str(destination.get("reference_status") or refund.reference_status)[:20]
    if recorded != (refund.stripe_refund_id, refund.reference, refund.reference_status):
        refund.save(update_fields=["stripe_refund_id", "reference", "reference_status"])


def _append_reason(purchase: Purchase, text: str) -> None:
    """Add to the reason that staff see beside a quarantined payment."""
    if text not in purchase.error:
        purchase.error = f"{purchase.error}; {text}"[-500:]
        purchase.save(update_fields=["error"])


def _update_rewards(purchase_id: UUID, now: datetime) -> None:
    """Take back the rewards of a purchase that is refunded in full, restore them if a refund failed."""
    transaction.on_commit(lambda: referrals.follow_purchase(purchase_id, now), robust=True)


def _lock(refund: Refund) -> tuple[Purchase, Refund]:
    """Purchase and refund with their rows locked; the purchase first, because claims affect each other."""
    purchase = plan_payments.lock_purchase(Purchase.objects.get(pk=refund.purchase_id))
    return purchase, Refund.objects.select_for_update(no_key=True).get(pk=refund.pk)


def queue_email(refund: Refund, template: str, now: datetime) -> None:
    emails.queue(
        account_id=refund.account_id,
        template=template,
        key=f"{template}:{refund.pk.hex}",
        context={
            "label": refund.purchase.label,
            "amount": refund.amount,
            "currency": refund.currency,
            "credits": plain(refund.credits),
            "decision": refund.decision,
            "error": refund.error,
            "purchase": refund.purchase.public_id,
        },
        now=now,
    )
