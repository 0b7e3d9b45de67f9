"""What became of refunds: the news of Stripe's own objects, also of refunds that nobody asked for here.

Invariants: each refund of Stripe's counts once, whatever the order and number of its events; a refund that
fails at the bank brings back exactly the credits that it took; one made in Stripe's dashboard takes back the
credits it paid for, and what of them was spent becomes debt.
"""

from datetime import datetime
from decimal import ROUND_FLOOR
from uuid import UUID

from django.db import transaction

from billing import fulfilment, ledger, mails, referrals
from billing.models import Purchase, Refund
from billing.stripe_gateway import Facts
from core.amounts import PLACES, plain


def follow(facts: Facts, now: datetime) -> Refund | None:
    """Bring a refund to what Stripe says of it; one made at Stripe itself is entered here. None: not ours."""
    with transaction.atomic():
        refund = _find(facts) or _enter(facts, now)
        if refund is None:
            return None
        refund = Refund.objects.select_for_update().get(pk=refund.pk)
        if refund.stripe_refund_id is None:
            refund.stripe_refund_id = facts["id"]
            refund.save(update_fields=["stripe_refund_id"])
        status = str(facts.get("status") or "pending")
        if status in {"failed", "canceled"}:
            fail(refund.pk, str(facts.get("failure_reason") or status), now)
        elif status == "succeeded" and refund.status in {Refund.Status.APPROVED, Refund.Status.PENDING}:
            refund.status, refund.closed_at, refund.trouble = Refund.Status.DONE, now, ""
            refund.save(update_fields=["status", "closed_at", "trouble"])
            tell(refund, "refunded", now)
            _undo_rewards(refund.purchase_id, now)
        elif refund.status == Refund.Status.APPROVED:
            refund.status, refund.trouble = Refund.Status.PENDING, ""
            refund.save(update_fields=["status", "trouble"])
    return refund


def follow_total(purchase: Purchase, total: int, now: datetime) -> None:
    """A charge says that so much of it is refunded in all: what we have not heard of is taken back now.

    The refund's own news, if it comes later, finds this row and is not counted again.
    """
    with transaction.atomic():
        held = fulfilment.locked(purchase.pk)
        known = sum(
            refund.amount
            for refund in held.refunds.exclude(status__in=[Refund.Status.REQUESTED, Refund.Status.REFUSED])
        )
        if total > known:
            _take(held, total - known, None, now)


def _find(facts: Facts) -> Refund | None:
    found = Refund.objects.filter(stripe_refund_id=facts["id"]).first()
    named = str((facts.get("metadata") or {}).get("refund", ""))
    return found or Refund.with_public_id(named)


def _enter(facts: Facts, now: datetime) -> Refund | None:
    """A refund that staff made in Stripe's dashboard, or that our books have lost."""
    row = Purchase.objects.filter(stripe_payment_id=facts.get("payment_intent") or "-").first()
    if row is None:
        return None
    purchase = fulfilment.locked(row.pk)
    known = Refund.objects.filter(stripe_refund_id=facts["id"]).first()
    if known is not None:  # entered by somebody else while we waited for the lock
        return known
    if str(facts.get("status")) in {"failed", "canceled"}:
        return None
    amount = int(facts["amount"])
    nameless = purchase.refunds.filter(stripe_refund_id=None, status=Refund.Status.DONE, requested_by=None)
    match = nameless.filter(amount=amount).first() or nameless.filter(amount__gt=amount).first()
    if match is None:
        return _take(purchase, amount, str(facts["id"]), now)
    if match.amount > amount:  # a total that covered several refunds: this is one of them
        Refund.objects.filter(pk=match.pk).update(amount=match.amount - amount)
        return Refund.objects.create(
            account_id=match.account_id,
            purchase=purchase,
            amount=amount,
            currency=match.currency,
            status=Refund.Status.DONE,
            stripe_refund_id=facts["id"],
            decided_by="Stripe",
            created_at=now,
            decided_at=now,
            closed_at=now,
        )
    return match


def _take(purchase: Purchase, amount: int, stripe_id: str | None, now: datetime) -> Refund:
    """Enter a refund made at Stripe: the credits it paid for are taken back, spent ones become debt."""
    refund = Refund.objects.create(
        account_id=purchase.account_id,
        purchase=purchase,
        amount=amount,
        currency=purchase.currency,
        status=Refund.Status.DONE,
        stripe_refund_id=stripe_id,
        decided_by="Stripe",
        created_at=now,
        decided_at=now,
        closed_at=now,
    )
    fulfilment.give_back(purchase, amount)
    purchase.refresh_from_db(fields=["refunded"])
    if purchase.credits:
        whole = purchase.refunded >= purchase.amount
        share = purchase.credits * amount / max(purchase.amount, 1)
        taken = ledger.claw_back(
            account_id=purchase.account_id,
            purchase_id=purchase.pk,
            key=refund.key,
            credits=None if whole else share.quantize(PLACES, ROUND_FLOOR) or PLACES,
            reason=f"refund {refund.public_id}",
            now=now,
        )
        Refund.objects.filter(pk=refund.pk).update(credits=taken.credits + taken.debt)
    _undo_rewards(purchase.pk, now)
    return refund


def fail(refund_id: UUID, trouble: str, now: datetime) -> None:
    """The money did not leave: the frozen credits come back, and staff see why."""
    with transaction.atomic():
        refund = Refund.objects.select_for_update().get(pk=refund_id)
        if refund.status in {Refund.Status.FAILED, Refund.Status.REFUSED, Refund.Status.REQUESTED}:
            return
        refund.status, refund.trouble, refund.closed_at = Refund.Status.FAILED, trouble[:500], now
        refund.save(update_fields=["status", "trouble", "closed_at"])
        fulfilment.give_back(refund.purchase, -refund.amount)
        if refund.credits:
            ledger.restore(
                account_id=refund.account_id,
                claw_back_key=refund.key,
                key=f"{refund.key}:failed",
                reason=f"refund {refund.public_id} failed",
                now=now,
            )
        tell(refund, "refund_failed", now)


def _undo_rewards(purchase_id: UUID, now: datetime) -> None:
    """A purchase that was refunded whole takes its rewards along (in their own transactions)."""
    purchase = Purchase.objects.get(pk=purchase_id)
    if purchase.refunded >= purchase.amount:
        transaction.on_commit(lambda: referrals.purchase_undone(purchase, now), robust=True)


def tell(refund: Refund, template: str, now: datetime) -> None:
    mails.queue(
        account_id=refund.account_id,
        template=template,
        key=f"{template}:{refund.pk.hex}",
        context={
            "label": refund.purchase.label,
            "amount": refund.amount,
            "currency": refund.currency,
            "credits": plain(refund.credits),
            "decision": refund.decision,
            "trouble": refund.trouble,
            "purchase": refund.purchase.public_id,
        },
        now=now,
    )
