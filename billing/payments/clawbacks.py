"""What refunds and disputes have taken back of one purchase's credits, and what of it they return.

Invariants: the credits of a purchase are taken back once, however many claims stand against it; a claim that
falls returns exactly what it took, and where another one that stands had found nothing left to take, that one
takes it then. So the end does not depend on the order in which refunds and disputes are heard of.
"""

from datetime import datetime
from decimal import ROUND_FLOOR, Decimal

from django.db.models import Q, QuerySet

from billing import ledger
from billing.models import Correction, Dispute, Purchase, Refund
from core.amounts import PLACES

Claim = Refund | Dispute


def take(claim: Claim, purchase: Purchase, now: datetime, *, nth: str = "") -> None:
    """Take back what the money of a standing claim had bought; what of it was spent becomes debt.

    The purchase is locked and fresh. What another claim has taken already is not taken again. Of a purchase
    that is not credited there is nothing to take yet: `catch_up` does it if it ever is.
    """
    if purchase.status != Purchase.Status.PAID:
        return
    left = _due(claim, purchase) - claim.credits if purchase.credits else Decimal(0)
    if left <= 0:
        return
    taken = ledger.claw_back(
        account_id=claim.account_id,
        purchase_id=purchase.pk,
        key=claim.key + nth,
        credits=left,
        reason=f"{type(claim).__name__.lower()} {claim.public_id}",
        now=now,
    )
    if not taken.replayed:
        claim.credits += taken.credits + taken.debt
        claim.save(update_fields=["credits"])


def catch_up(purchase: Purchase, now: datetime) -> None:
    """The purchase has just been credited, after claims against it had come: they take what is theirs now."""
    for claim in _standing(purchase):
        take(claim, purchase, now)


def give_back(claim: Claim, purchase: Purchase, now: datetime, *, why: str) -> None:
    """A claim has fallen, as its saved status says: undo what it took. The purchase is locked and fresh."""
    took = Correction.objects.filter(
        Q(idempotency_key=claim.key) | Q(idempotency_key__startswith=f"{claim.key}:after:"),
        account_id=claim.account_id,
        kind=Correction.Kind.CLAW_BACK,
        undone_by_id=None,
    )
    for key in list(took.order_by("created_at", "id").values_list("idempotency_key", flat=True)):
        ledger.restore(
            account_id=claim.account_id,
            claw_back_key=key,
            key=f"{key}:{why}",
            reason=f"{type(claim).__name__.lower()} {claim.public_id} {why}",
            now=now,
        )
    for other in _standing(purchase):
        take(other, purchase, now, nth=f":after:{claim.pk.hex}")


def _due(claim: Claim, purchase: Purchase) -> Decimal:
    """The claim's part of the credits; when all of the money is claimed, no rounding is left over."""
    own = _share(purchase, claim.amount)
    others = [other for other in _standing(purchase) if other != claim]
    if claim.amount + sum(other.amount for other in others) < purchase.amount:
        return own
    theirs = (max(_share(purchase, other.amount), other.credits) for other in others)
    return max(own, purchase.credits - sum(theirs, Decimal(0)))


def _standing(purchase: Purchase) -> list[Claim]:
    """All claims whose money is gone, oldest first (an inquiry of a bank has moved none)."""
    gone = [Refund.Status.APPROVED, Refund.Status.PENDING, Refund.Status.DONE]
    refunds: QuerySet[Refund] = purchase.refunds.filter(status__in=gone)
    disputes: QuerySet[Dispute] = purchase.disputes.exclude(status=Dispute.Status.WON)
    pulled = disputes.exclude(stripe_status__startswith="warning")
    return sorted([*refunds, *pulled], key=lambda claim: (claim.created_at, claim.pk))


def _share(purchase: Purchase, amount: int) -> Decimal:
    share = purchase.credits * amount / max(purchase.amount, 1)
    return min(share.quantize(PLACES, ROUND_FLOOR), purchase.credits)
