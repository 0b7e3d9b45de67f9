"""Take back the credits of refunds and disputes; restore them when a refund fails or a dispute is won.

A *claim* is a refund or a dispute whose money has left. Invariants: the credits of a purchase are taken back
once, however many claims there are; a claim that ends returns exactly what it took, and a remaining claim
that had found nothing left then takes its part. So the result does not depend on the order of events.
"""

from datetime import datetime
from decimal import ROUND_FLOOR, Decimal

from django.db.models import Q, QuerySet

from billing import ledger
from billing.models import Correction, Dispute, Purchase, Refund
from core.amounts import PLACES

Claim = Refund | Dispute


def take_back(claim: Claim, purchase: Purchase, now: datetime, *, key_suffix: str = "") -> None:
    """Take back the credits that an active claim's money bought; credits already spent become debt.

    `purchase` is locked and fresh. Credits taken by another claim are not taken again. A purchase that is not
    credited has nothing to take: `apply_active_claims` runs when it is credited.
    """
    if purchase.status != Purchase.Status.PAID:
        return
    remaining = _share_of_claim(claim, purchase) - claim.credits if purchase.credits else Decimal(0)
    if remaining <= 0:
        return
    clawback = ledger.claw_back(
        account_id=claim.account_id,
        purchase_id=purchase.pk,
        key=claim.key + key_suffix,
        credits=remaining,
        reason=f"{type(claim).__name__.lower()} {claim.public_id}",
        now=now,
    )
    if not clawback.replayed:
        claim.credits += clawback.credits + clawback.debt
        claim.save(update_fields=["credits"])


def apply_active_claims(purchase: Purchase, now: datetime) -> None:
    """Take back credits for the claims that arrived before the purchase was credited."""
    for claim in _active_claims(purchase):
        take_back(claim, purchase, now)


def restore_credits(claim: Claim, purchase: Purchase, now: datetime, *, why: str) -> None:
    """Return what an ended claim took; its status is saved already. `purchase` is locked and fresh."""
    clawbacks = Correction.objects.filter(
        Q(idempotency_key=claim.key) | Q(idempotency_key__startswith=f"{claim.key}:after:"),
        account_id=claim.account_id,
        kind=Correction.Kind.CLAW_BACK,
        undone_by_id=None,
    )
    for key in list(clawbacks.order_by("created_at", "id").values_list("idempotency_key", flat=True)):
        ledger.restore(
            account_id=claim.account_id,
            claw_back_key=key,
            key=f"{key}:{why}",
            reason=f"{type(claim).__name__.lower()} {claim.public_id} {why}",
            now=now,
        )
    for other in _active_claims(purchase):
        take_back(other, purchase, now, key_suffix=f":after:{claim.pk.hex}")


def _share_of_claim(claim: Claim, purchase: Purchase) -> Decimal:
    """The claim's part of the credits; when all of the money is claimed, no rounding is left over."""
    own = _share_of_amount(purchase, claim.amount)
    others = [other for other in _active_claims(purchase) if other != claim]
    if claim.amount + sum(other.amount for other in others) < purchase.amount:
        return own
    theirs = (max(_share_of_amount(purchase, other.amount), other.credits) for other in others)
    return max(own, purchase.credits - sum(theirs, Decimal(0)))


def _active_claims(purchase: Purchase) -> list[Claim]:
    """All claims whose money has left, oldest first (a bank's inquiry moves no money)."""
    left = [Refund.Status.APPROVED, Refund.Status.PENDING, Refund.Status.DONE]
    refunds: QuerySet[Refund] = purchase.refunds.filter(status__in=left)
    disputes: QuerySet[Dispute] = purchase.disputes.exclude(status=Dispute.Status.WON)
    withdrawn = disputes.exclude(stripe_status__startswith="warning")
    return sorted([*refunds, *withdrawn], key=lambda claim: (claim.created_at, claim.pk))


def _share_of_amount(purchase: Purchase, amount: int) -> Decimal:
    share = purchase.credits * amount / max(purchase.amount, 1)
    return min(share.quantize(PLACES, ROUND_FLOOR), purchase.credits)
