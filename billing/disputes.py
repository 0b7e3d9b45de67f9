"""A bank pulls a payment back: the credits are frozen at once, and the bank's decision settles it.

Invariants: a dispute takes its purchase's credits once (what was spent becomes debt) and a won one restores
exactly that, once; its end is final, so that late news of an earlier state changes nothing.
"""

from datetime import UTC, datetime
from decimal import ROUND_FLOOR, Decimal

from django.db import transaction

from billing import fulfilment, ledger, mails, referrals
from billing.models import Dispute, Purchase
from billing.stripe_gateway import Facts
from core.amounts import PLACES


def follow(facts: Facts, now: datetime) -> Dispute | None:
    """Bring a dispute to what Stripe says of it. None: the payment is none of ours."""
    payment = facts.get("payment_intent")
    payment_id = payment["id"] if isinstance(payment, dict) else payment
    row = Purchase.objects.filter(stripe_payment_id=payment_id or "-").first()
    if row is None:
        return None
    with transaction.atomic():
        purchase = fulfilment.locked(row.pk)
        dispute, created = Dispute.objects.get_or_create(
            stripe_dispute_id=facts["id"],
            defaults={
                "account_id": purchase.account_id,
                "purchase": purchase,
                "stripe_status": str(facts["status"]),
                "amount": int(facts["amount"]),
                "currency": str(facts["currency"]),
                "reason": str(facts.get("reason") or ""),
                "evidence_due_at": _due(facts),
                "created_at": now,
            },
        )
        if dispute.status == Dispute.Status.OPEN:
            _move(dispute, purchase, str(facts["status"]), created, now)
    return dispute


def _move(dispute: Dispute, purchase: Purchase, status: str, fresh: bool, now: datetime) -> None:
    # Inquiries (warning_…) ask questions; no money has moved.
    pulled = not status.startswith("warning") and status not in {"won", "prevented"}
    if pulled and not dispute.credits:
        dispute.credits = _take(dispute, purchase, now)
    dispute.stripe_status = status
    if status in {"won", "warning_closed", "prevented"}:
        dispute.status, dispute.closed_at = Dispute.Status.WON, now
        _give_back(dispute, now)
    elif status == "lost":
        dispute.status, dispute.closed_at = Dispute.Status.LOST, now
        transaction.on_commit(lambda: referrals.purchase_undone(purchase, now), robust=True)
    dispute.save()
    if fresh and dispute.status == Dispute.Status.OPEN:
        mails.queue(
            account_id=dispute.account_id,
            template="disputed",
            key=f"disputed:{dispute.pk.hex}",
            context={"label": purchase.label, "amount": dispute.amount, "currency": dispute.currency},
            now=now,
        )


def _take(dispute: Dispute, purchase: Purchase, now: datetime) -> Decimal:
    """Freeze the disputed part of the purchase: unspent credits leave the balance, spent ones become debt."""
    if not purchase.credits:
        return Decimal(0)
    part = None
    if dispute.amount < purchase.amount:
        part = (purchase.credits * dispute.amount / purchase.amount).quantize(PLACES, ROUND_FLOOR) or PLACES
    taken = ledger.claw_back(
        account_id=dispute.account_id,
        purchase_id=purchase.pk,
        key=dispute.key,
        credits=part,
        reason=f"dispute {dispute.public_id}",
        now=now,
    )
    return taken.credits + taken.debt


def _give_back(dispute: Dispute, now: datetime) -> None:
    if not dispute.credits:
        return
    ledger.restore(
        account_id=dispute.account_id,
        claw_back_key=dispute.key,
        key=f"{dispute.key}:won",
        reason=f"dispute {dispute.public_id} won",
        now=now,
    )


def _due(facts: Facts) -> datetime | None:
    seconds = (facts.get("evidence_details") or {}).get("due_by")
    return datetime.fromtimestamp(int(seconds), tz=UTC) if seconds else None
