"""Disputes: take back the credits of a payment whose money a bank withdraws, restore them when it comes back.

Invariants: only a dispute as retrieved now is applied, never the copy in an event, and only while ours is the
one that was there before the request, so that events in any order and number end in Stripe's present state;
no state is final, because a bank may reverse its decision and a loss can be appealed; credits are taken while
the money is away and exactly those are restored when it is back.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

from django.db import transaction

from billing import stripe_gateway
from billing.models import Dispute, Purchase
from billing.notifications import emails
from billing.payments import clawbacks
from billing.promotions import referrals
from billing.refunds import plan_payments
from billing.stripe_gateway import StripeObject
from billing.subscriptions.stripe_objects import id_of

_DECIDED = {"won": Dispute.Status.WON, "lost": Dispute.Status.LOST, "warning_closed": Dispute.Status.CLOSED}


class StaleDispute(Exception):
    """Our dispute changed after Stripe's was requested: retrieve it again."""


@dataclass(frozen=True)
class Snapshot:
    """A dispute as Stripe has it, and the version of our row before it was retrieved."""

    facts: StripeObject
    version: int | None


def fetch_snapshot(dispute_id: str) -> Snapshot:
    """Retrieve a dispute. Raises stripe_gateway's errors."""
    rows = Dispute.objects.filter(stripe_dispute_id=dispute_id)
    version = rows.values_list("version", flat=True).first()
    return Snapshot(stripe_gateway.retrieve_dispute(dispute_id), version)


def apply_snapshot(snapshot: Snapshot, now: datetime) -> Dispute | None:
    """Bring a dispute to its state at Stripe, creating it if needed. None: no purchase has its payment.

    Raises StaleDispute when ours has changed since the snapshot was requested.
    """
    facts = snapshot.facts
    disputed = Purchase.objects.filter(stripe_payment_id=id_of(facts.get("payment_intent") or "-")).first()
    if disputed is None:
        return None
    with transaction.atomic():
        purchase = plan_payments.lock_purchase(disputed)
        found = Dispute.objects.filter(stripe_dispute_id=facts["id"]).first()
        if (found.version if found else None) != snapshot.version:
            raise StaleDispute
        dispute = found or Dispute(
            account_id=purchase.account_id,
            purchase=purchase,
            stripe_dispute_id=facts["id"],
            amount=int(facts["amount"]),
            created_at=now,
        )
        _apply(dispute, purchase, facts, now)
    return dispute


def money_has_left(facts: StripeObject) -> bool:
    """Whether a dispute's money is away: withdrawn, lost, or returned to prevent a chargeback.

    Inquiries (`warning_…`) move no money (https://docs.stripe.com/disputes/how-disputes-work). A prevented
    dispute moved none only if it was blocked; one that was resolved returned the amount
    (https://docs.stripe.com/disputes/get-started/prevention). During an appeal the money stays away, and so
    it is assumed for a status of a later API version.
    """
    status = str(facts["status"])
    if status == "prevented":
        return _case_type(facts) != "block"
    return status != "won" and not status.startswith("warning")


def _apply(dispute: Dispute, purchase: Purchase, facts: StripeObject, now: datetime) -> None:
    before = (dispute.withdrawn, dispute.amount, dispute.status)
    fields = _fields(dispute)
    dispute.stripe_status, dispute.case_type = str(facts["status"])[:40], _case_type(facts)[:40]
    dispute.withdrawn, dispute.status = money_has_left(facts), _status(facts)
    dispute.amount, dispute.currency = int(facts["amount"]), str(facts["currency"])
    dispute.reason = str(facts.get("reason") or "")[:100]
    dispute.evidence_due_at = _evidence_due_at(facts)
    if _fields(dispute) == fields and dispute.version:
        return
    if dispute.status in Dispute.UNDECIDED:
        dispute.closed_at = None
    elif dispute.status != before[2]:
        dispute.closed_at = now
    dispute.version += 1
    dispute.save()
    if before[0] and (not dispute.withdrawn or dispute.amount != before[1]):
        clawbacks.restore_credits(dispute, purchase, now, why=dispute.stripe_status)
    if dispute.withdrawn:
        clawbacks.take_back(dispute, purchase, now)
        if dispute.status == Dispute.Status.OPEN:
            _queue_email(dispute, purchase, now)
    plan_payments.follow_claims(purchase, now)
    transaction.on_commit(lambda: referrals.follow_purchase(purchase.pk, now), robust=True)


def _fields(dispute: Dispute) -> tuple[object, ...]:
    names = ("stripe_status", "case_type", "amount", "currency", "reason", "evidence_due_at")
    return tuple(getattr(dispute, name) for name in names)


def _status(facts: StripeObject) -> str:
    status = str(facts["status"])
    if status == "prevented":
        return Dispute.Status.LOST if money_has_left(facts) else Dispute.Status.PREVENTED
    undecided = Dispute.Status.INQUIRY if status.startswith("warning") else Dispute.Status.OPEN
    return _DECIDED.get(status, undecided)


def _case_type(facts: StripeObject) -> str:
    card = (facts.get("payment_method_details") or {}).get("card") or {}
    return str(card.get("case_type") or "")


def _evidence_due_at(facts: StripeObject) -> datetime | None:
    seconds = (facts.get("evidence_details") or {}).get("due_by")
    return datetime.fromtimestamp(int(seconds), tz=UTC) if seconds else None


def _queue_email(dispute: Dispute, purchase: Purchase, now: datetime) -> None:
    """Once for each dispute, when its money leaves."""
    emails.queue(
        account_id=dispute.account_id,
        template="disputed",
        key=f"disputed:{dispute.pk.hex}",
        context={
            "label": purchase.label,
            "amount": dispute.amount,
            "currency": dispute.currency,
            "is_plan": purchase.kind == Purchase.Kind.PLAN,
        },
        now=now,
    )
