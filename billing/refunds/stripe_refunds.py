"""What became of refunds: the news of Stripe's own objects, also of refunds that nobody asked for here.

Invariants: each refund of Stripe's counts once, whatever the order and number of its events; a refund that
fails at the bank brings back exactly the credits that it took; one made in Stripe's dashboard takes back the
credits it paid for, and what of them was spent becomes debt.
"""

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import Q

from billing.models import Purchase, Refund
from billing.notifications import emails
from billing.payments import clawbacks, fulfilment
from billing.promotions import referrals
from billing.stripe_gateway import Facts
from core.amounts import plain

FAILED = {"failed", "canceled"}  # final, as Stripe calls them


def follow(facts: Facts, now: datetime) -> Refund | None:
    """Bring a refund to what Stripe says of it; one made at Stripe itself is entered here. None: not ours."""
    with transaction.atomic():
        refund = _find(facts) or _enter(facts, now)
        if refund is None:
            return None
        _purchase, refund = _locked(refund)
        if refund.stripe_refund_id is None:
            refund.stripe_refund_id = facts["id"]
            refund.save(update_fields=["stripe_refund_id"])
        status = str(facts.get("status") or "pending")
        if status in FAILED:
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


def failed_first(refunds: Iterable[Facts]) -> list[Facts]:
    """In the order in which they can be followed: one that failed makes room for another."""
    return sorted(refunds, key=lambda one: (one.get("status") not in FAILED, one.get("created") or 0))


def follow_total(purchase: Purchase, total: int, now: datetime) -> None:
    """A charge says that so much of it is refunded in all: what we have not heard of is taken back now.

    The refund's own news, if it comes later, finds this row and is not counted again. Refunds that failed
    meanwhile were in that total too.
    """
    with transaction.atomic():
        held = fulfilment.locked(purchase.pk)
        unsent = Q(status=Refund.Status.FAILED, stripe_refund_id=None)
        waiting = Q(status__in=[Refund.Status.REQUESTED, Refund.Status.REFUSED])
        known = sum(held.refunds.exclude(unsent | waiting).values_list("amount", flat=True))
        if total > known and held.status == Purchase.Status.PAID:
            _take(held, total - known, None, now)


def _locked(refund: Refund) -> tuple[Purchase, Refund]:
    """Always the purchase first: whoever moves one claim of it may move the others too."""
    purchase = fulfilment.locked(refund.purchase_id)
    return purchase, Refund.objects.select_for_update().get(pk=refund.pk)


def _find(facts: Facts) -> Refund | None:
    """The refund by Stripe's id, else by the name that we gave it when we asked for it.

    One that was given up here without Stripe's id is not found by its name: its money has left after all, and
    its credits, which came back when it was given up, have to be taken anew.
    """
    found = Refund.objects.filter(stripe_refund_id=facts["id"]).first()
    if found is not None:
        return found
    named = Refund.with_public_id(str((facts.get("metadata") or {}).get("refund", "")))
    if named is None or named.stripe_refund_id or named.status == Refund.Status.FAILED:
        return None
    return named


def _enter(facts: Facts, now: datetime) -> Refund | None:
    """A refund that staff made in Stripe's dashboard, or that our books have lost."""
    row = Purchase.objects.filter(stripe_payment_id=facts.get("payment_intent") or "-").first()
    if row is None:
        return None
    purchase = fulfilment.locked(row.pk)
    known = Refund.objects.filter(stripe_refund_id=facts["id"]).first()
    if known is not None:  # entered by somebody else while we waited for the lock
        return known
    amount, stripe_id = int(facts["amount"]), str(facts["id"])
    if purchase.status != Purchase.Status.PAID:
        _note(purchase, f"{amount} {purchase.currency.upper()} sent back at Stripe ({stripe_id})")
        return None
    if str(facts.get("status")) in FAILED:
        # Kept, so that older news of it ("created", still in good hope) takes nothing when it comes late.
        return _row(purchase, amount, stripe_id, now, status=Refund.Status.FAILED)
    nameless = purchase.refunds.filter(stripe_refund_id=None, status=Refund.Status.DONE, requested_by=None)
    match = nameless.filter(amount=amount).first() or nameless.filter(amount__gt=amount).first()
    if match is None:
        return _take(purchase, amount, stripe_id, now)
    return match if match.amount == amount else _split(match, purchase, amount, stripe_id, now)


def _split(whole: Refund, purchase: Purchase, amount: int, stripe_id: str, now: datetime) -> Refund:
    """A total that covered several refunds: this is one of them, each with the credits that are its own."""
    whole.status = Refund.Status.FAILED
    whole.save(update_fields=["status"])
    fulfilment.give_back(purchase, -whole.amount)
    purchase.refresh_from_db(fields=["refunded"])
    clawbacks.give_back(whole, purchase, now, why="split")
    rest = whole.amount - amount
    whole.delete()
    _take(purchase, rest, None, now)
    return _take(purchase, amount, stripe_id, now)


def _row(purchase: Purchase, amount: int, stripe_id: str | None, now: datetime, *, status: str) -> Refund:
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


def _take(purchase: Purchase, amount: int, stripe_id: str | None, now: datetime) -> Refund:
    """Enter a refund made at Stripe: the credits it paid for are taken back, spent ones become debt."""
    refund = _row(purchase, amount, stripe_id, now, status=Refund.Status.DONE)
    fulfilment.give_back(purchase, amount)
    purchase.refresh_from_db(fields=["refunded"])
    clawbacks.take(refund, purchase, now)
    _undo_rewards(purchase.pk, now)
    return refund


def _note(purchase: Purchase, words: str) -> None:
    """Tell the staff who look at a quarantined payment that its money went back."""
    if words not in purchase.trouble:
        purchase.trouble = f"{purchase.trouble}; {words}"[-500:]
        purchase.save(update_fields=["trouble"])


def fail(refund_id: UUID, trouble: str, now: datetime) -> None:
    """The money did not leave: the frozen credits come back, and staff see why."""
    with transaction.atomic():
        purchase, refund = _locked(Refund.objects.get(pk=refund_id))
        if refund.status in {Refund.Status.FAILED, Refund.Status.REFUSED, Refund.Status.REQUESTED}:
            return
        refund.status, refund.trouble, refund.closed_at = Refund.Status.FAILED, trouble[:500], now
        refund.save(update_fields=["status", "trouble", "closed_at"])
        fulfilment.give_back(purchase, -refund.amount)
        clawbacks.give_back(refund, purchase, now, why="failed")
        tell(refund, "refund_failed", now)


def _undo_rewards(purchase_id: UUID, now: datetime) -> None:
    """A purchase that was refunded whole takes its rewards along (in their own transactions)."""
    purchase = Purchase.objects.get(pk=purchase_id)
    if purchase.refunded >= purchase.amount:
        transaction.on_commit(lambda: referrals.purchase_undone(purchase, now), robust=True)


def tell(refund: Refund, template: str, now: datetime) -> None:
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
            "trouble": refund.trouble,
            "purchase": refund.purchase.public_id,
        },
        now=now,
    )
