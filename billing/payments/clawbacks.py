"""Take back the credits of refunds and disputes; restore them when a refund fails or a dispute is won.

A *claim* is a refund or a dispute whose money has left. Invariants: the credits of a purchase are taken back
once, however many claims there are; a claim that ends returns exactly what it took, and a remaining claim
that had found nothing left then takes its part; a claim may begin again (a won dispute that is lost later).
So the result does not depend on the order of events. The credits of a plan's payment are the grants of its
period (`plan_grants`).
"""

from datetime import datetime
from decimal import ROUND_FLOOR, Decimal
from fractions import Fraction
from uuid import UUID

from django.db.models import Q, QuerySet

from billing import ledger
from billing.models import Correction, Dispute, Purchase, Refund
from billing.payments import plan_grants
from core.amounts import PLACES

Claim = Refund | Dispute


def take_back(claim: Claim, purchase: Purchase, now: datetime) -> None:
    """Take back the credits that an active claim's money bought; credits already spent become debt.

    `purchase` is locked and fresh. Credits taken by another claim are not taken again. A purchase that is not
    credited has nothing to take: `apply_active_claims` runs when it is credited.
    """
    if purchase.status != Purchase.Status.PAID:
        return
    if purchase.kind == Purchase.Kind.PLAN:
        share, grant_ids = _share_of_plan_claim(claim, purchase, now)
    else:
        share, grant_ids = _share_of_claim(claim, purchase) if purchase.credits else Decimal(0), None
    remaining = share - claim.credits
    if remaining <= 0:
        return
    clawback = ledger.claw_back(
        account_id=claim.account_id,
        purchase_id=purchase.pk,
        key=_next_key(claim),
        credits=remaining,
        grant_ids=grant_ids,
        reason=f"{type(claim).__name__.lower()} {claim.public_id}",
        now=now,
    )
    claim.credits += clawback.credits + clawback.debt
    claim.save(update_fields=["credits"])


def apply_active_claims(purchase: Purchase, now: datetime) -> None:
    """Take back credits for claims that arrived before the purchase was credited, or a plan's next grant."""
    for claim in active_claims(purchase):
        take_back(claim, purchase, now)


def restore_credits(claim: Claim, purchase: Purchase, now: datetime, *, why: str) -> None:
    """Return what an ended claim took; its status is saved already. `purchase` is locked and fresh.

    A plan's other claims are taken anew, because they share one part of its period.
    """
    others = [other for other in active_claims(purchase) if other != claim]
    returned = [claim, *others] if purchase.kind == Purchase.Kind.PLAN else [claim]
    for ended in returned:
        _restore(ended, now, why if ended == claim else "taken anew")
    for other in others:
        take_back(other, purchase, now)


def active_claims(purchase: Purchase) -> list[Claim]:
    """All claims whose money has left, oldest first (a bank's inquiry moves no money)."""
    left = [Refund.Status.APPROVED, Refund.Status.PENDING, Refund.Status.DONE]
    refunds: QuerySet[Refund] = purchase.refunds.filter(status__in=left)
    disputes: QuerySet[Dispute] = purchase.disputes.filter(withdrawn=True)
    return sorted([*refunds, *disputes], key=lambda claim: (claim.created_at, claim.pk))


def is_withdrawn(purchase: Purchase) -> bool:
    """Whether all of the purchase's money has left."""
    claims = active_claims(purchase)
    return bool(claims) and sum(_amount(claim, purchase) for claim in claims) >= purchase.amount


def _restore(claim: Claim, now: datetime, why: str) -> None:
    claw_backs = _claw_backs(claim).filter(undone_by_id=None).order_by("created_at", "id")
    for key in list(claw_backs.values_list("idempotency_key", flat=True)):
        ledger.restore(
            account_id=claim.account_id,
            claw_back_key=key,
            key=f"{key}:{why}",
            reason=f"{type(claim).__name__.lower()} {claim.public_id} {why}",
            now=now,
        )
    claim.credits = Decimal(0)
    claim.save(update_fields=["credits"])


def _claw_backs(claim: Claim) -> QuerySet[Correction]:
    return Correction.objects.filter(
        Q(idempotency_key=claim.key) | Q(idempotency_key__startswith=f"{claim.key}:"),
        account_id=claim.account_id,
        kind=Correction.Kind.CLAW_BACK,
    )


def _next_key(claim: Claim) -> str:
    """The key of the claim's next claw-back; the lock on its purchase makes it unique."""
    made = _claw_backs(claim).count()
    return f"{claim.key}:{made}" if made else claim.key


def _share_of_claim(claim: Claim, purchase: Purchase) -> Decimal:
    """The claim's part of the credits; when all of the money is claimed, no rounding is left over."""
    own = _share_of_amount(purchase, _amount(claim, purchase))
    others = [other for other in active_claims(purchase) if other != claim]
    claimed = _amount(claim, purchase) + sum(_amount(other, purchase) for other in others)
    if claimed < purchase.amount:
        return own
    theirs = (max(_share_of_amount(purchase, _amount(other, purchase)), other.credits) for other in others)
    return max(own, purchase.credits - sum(theirs, Decimal(0)))


def _share_of_plan_claim(claim: Claim, purchase: Purchase, now: datetime) -> tuple[Decimal, list[UUID]]:
    """What all claims together take of the plan's credits, less what the others have taken."""
    ledger.settle([purchase.account_id], now)  # the grants that are due by now
    others = [other for other in active_claims(purchase) if other != claim]
    amount = _amount(claim, purchase) + sum(_amount(other, purchase) for other in others)
    claimed = plan_grants.claimed(purchase, Fraction(amount, max(purchase.amount, 1)))
    theirs = sum((other.credits for other in others), Decimal(0))
    return claimed.credits - theirs, list(claimed.grant_ids)


def _amount(claim: Claim, purchase: Purchase) -> int:
    """The claim's money in minor units of the purchase; a claim in another currency is to all of it."""
    same = claim.currency == purchase.currency
    return min(claim.amount, purchase.amount) if same else purchase.amount


def _share_of_amount(purchase: Purchase, amount: int) -> Decimal:
    share = purchase.credits * amount / max(purchase.amount, 1)
    return min(share.quantize(PLACES, ROUND_FLOOR), purchase.credits)
