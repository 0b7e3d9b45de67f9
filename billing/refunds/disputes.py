"""Disputes: take back the credits of a payment that a bank withdraws, and restore them when it is won.

Invariants: a dispute takes its purchase's credits once (credits already spent become debt), and winning it
restores exactly that, once; a closed dispute is final, so a late event of an earlier status changes nothing.
"""

from datetime import UTC, datetime

from django.db import transaction

from billing.models import Dispute, Purchase
from billing.notifications import emails
from billing.payments import clawbacks, fulfilment
from billing.promotions import referrals
from billing.stripe_gateway import StripeObject


def apply_stripe_dispute(facts: StripeObject, now: datetime) -> Dispute | None:
    """Bring a dispute to its status at Stripe, creating it if needed. None: no purchase has its payment."""
    payment = facts.get("payment_intent")
    payment_id = payment["id"] if isinstance(payment, dict) else payment
    disputed = Purchase.objects.filter(stripe_payment_id=payment_id or "-").first()
    if disputed is None:
        return None
    with transaction.atomic():
        purchase = fulfilment.lock_purchase(disputed.pk)
        dispute, created = Dispute.objects.get_or_create(
            stripe_dispute_id=facts["id"],
            defaults={
                "account_id": purchase.account_id,
                "purchase": purchase,
                "stripe_status": str(facts["status"]),
                "amount": int(facts["amount"]),
                "currency": str(facts["currency"]),
                "reason": str(facts.get("reason") or ""),
                "evidence_due_at": _evidence_due_at(facts),
                "created_at": now,
            },
        )
        if dispute.status == Dispute.Status.OPEN:
            _apply_status(dispute, purchase, str(facts["status"]), created, now)
    return dispute


def _apply_status(dispute: Dispute, purchase: Purchase, status: str, is_new: bool, now: datetime) -> None:
    # Inquiries (warning_…) move no money.
    won = status in {"won", "warning_closed", "prevented"}
    dispute.stripe_status = status
    if won:
        dispute.status, dispute.closed_at = Dispute.Status.WON, now
    elif status == "lost":
        dispute.status, dispute.closed_at = Dispute.Status.LOST, now
        transaction.on_commit(lambda: referrals.take_back_rewards(purchase, now), robust=True)
    dispute.save()
    if won:
        clawbacks.restore_credits(dispute, purchase, now, why="won")
    elif not status.startswith("warning"):
        clawbacks.take_back(dispute, purchase, now)
    if is_new and dispute.status == Dispute.Status.OPEN:
        emails.queue(
            account_id=dispute.account_id,
            template="disputed",
            key=f"disputed:{dispute.pk.hex}",
            context={"label": purchase.label, "amount": dispute.amount, "currency": dispute.currency},
            now=now,
        )


def _evidence_due_at(facts: StripeObject) -> datetime | None:
    seconds = (facts.get("evidence_details") or {}).get("due_by")
    return datetime.fromtimestamp(int(seconds), tz=UTC) if seconds else None
