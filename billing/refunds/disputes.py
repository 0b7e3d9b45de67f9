"""A bank pulls a payment back: the credits are frozen at once, and the bank's decision settles it.

Invariants: a dispute takes its purchase's credits once (what was spent becomes debt) and a won one restores
exactly that, once; its end is final, so that late news of an earlier state changes nothing.
"""

from datetime import UTC, datetime

from django.db import transaction

from billing.models import Dispute, Purchase
from billing.notifications import emails
from billing.payments import clawbacks, fulfilment
from billing.promotions import referrals
from billing.stripe_gateway import Facts


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
    won = status in {"won", "warning_closed", "prevented"}
    dispute.stripe_status = status
    if won:
        dispute.status, dispute.closed_at = Dispute.Status.WON, now
    elif status == "lost":
        dispute.status, dispute.closed_at = Dispute.Status.LOST, now
        transaction.on_commit(lambda: referrals.purchase_undone(purchase, now), robust=True)
    dispute.save()
    if won:
        clawbacks.give_back(dispute, purchase, now, why="won")
    elif not status.startswith("warning"):
        clawbacks.take(dispute, purchase, now)
    if fresh and dispute.status == Dispute.Status.OPEN:
        emails.queue(
            account_id=dispute.account_id,
            template="disputed",
            key=f"disputed:{dispute.pk.hex}",
            context={"label": purchase.label, "amount": dispute.amount, "currency": dispute.currency},
            now=now,
        )


def _due(facts: Facts) -> datetime | None:
    seconds = (facts.get("evidence_details") or {}).get("due_by")
    return datetime.fromtimestamp(int(seconds), tz=UTC) if seconds else None
