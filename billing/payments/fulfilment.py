"""What a payment does: credits for a purchase, exactly once, whoever brings the news first.

Invariants: everything happens under the purchase's row lock, in one transaction, and the credits' key is the
purchase, never the event; a payment that differs from its order in amount, currency or account credits
nothing and waits for a person; money that arrives after an order was given up still credits.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import F
from django.utils.translation import gettext as _

from billing import ledger, validity
from billing.models import Purchase, Subscription
from billing.notifications import emails
from billing.payments import clawbacks, invoices
from billing.promotions import redemption, referrals
from core.amounts import plain
from pricing.models import Pack, Plan


@dataclass(frozen=True, kw_only=True)
class Payment:
    """What Stripe says was paid. `amount` in minor units."""

    amount: int
    currency: str
    payment_id: str | None = None
    invoice_id: str | None = None
    method: str = ""
    receipt_url: str = ""
    account: str = ""  # public id of the account that Stripe's metadata names, if it names one


def paid(purchase_id: UUID, payment: Payment, now: datetime) -> Purchase:
    """Record that a purchase was paid and give its credits, once. Safe to repeat and to run at once."""
    with transaction.atomic():
        purchase = locked(purchase_id)
        if purchase.status == Purchase.Status.PAID:
            _complete(purchase, payment)
        elif purchase.status != Purchase.Status.QUARANTINED:
            trouble = _trouble(purchase, payment)
            if trouble:
                _quarantine(purchase, payment, trouble, now)
            else:
                _credit(purchase, payment, now)
    return purchase


def release(purchase: Purchase, *, actor: str, now: datetime) -> Purchase:
    """Staff have looked at a quarantined payment and say that it is good: credit it as ordered."""
    with transaction.atomic():
        held = locked(purchase.pk)
        if held.status != Purchase.Status.QUARANTINED:
            return held
        held.trouble = _("Released by %(actor)s") % {"actor": actor}
        _credit(held, Payment(amount=held.amount, currency=held.currency), now)
        clawbacks.catch_up(held, now)
    return held


def pending(purchase_id: UUID, *, method: str, now: datetime, instructions_url: str = "") -> Purchase:
    """The buyer is done, the money is not there yet: visible as such, nothing credited."""
    with transaction.atomic():
        purchase = locked(purchase_id)
        if purchase.status in {Purchase.Status.CREATED, Purchase.Status.CANCELLED}:
            purchase.status = Purchase.Status.PENDING
            purchase.payment_method = method
            purchase.save(update_fields=["status", "payment_method"])
            _tell(purchase, "payment_pending", now)
        if instructions_url and not purchase.instructions_url:
            purchase.instructions_url = instructions_url
            purchase.save(update_fields=["instructions_url"])
    return purchase


def failed(purchase_id: UUID, *, trouble: str, now: datetime, tell: bool = True) -> Purchase:
    """The money will not come: nothing is credited and the buyer is told why."""
    with transaction.atomic():
        purchase = locked(purchase_id)
        if not purchase.settled:
            purchase.status, purchase.trouble, purchase.closed_at = Purchase.Status.FAILED, trouble[:500], now
            purchase.save(update_fields=["status", "trouble", "closed_at"])
            redemption.release(purchase, now)
            if tell:
                _tell(purchase, "payment_failed", now)
    return purchase


def note_charge(purchase_id: UUID, *, receipt_url: str, method: str) -> None:
    """Keep what only the charge knows, where nothing is known yet."""
    with transaction.atomic():
        purchase = locked(purchase_id)
        purchase.receipt_url = purchase.receipt_url or receipt_url
        purchase.payment_method = purchase.payment_method or method
        purchase.save(update_fields=["receipt_url", "payment_method"])


def cancelled(purchase_id: UUID, now: datetime) -> Purchase:
    """The payment page was closed or expired unpaid."""
    with transaction.atomic():
        purchase = locked(purchase_id)
        if purchase.status == Purchase.Status.CREATED:
            purchase.status, purchase.closed_at = Purchase.Status.CANCELLED, now
            purchase.save(update_fields=["status", "closed_at"])
            redemption.release(purchase, now)
    return purchase


def locked(purchase_id: UUID) -> Purchase:
    """The purchase, held until the transaction ends."""
    return Purchase.objects.select_for_update(of=("self",)).select_related("account").get(pk=purchase_id)


def _trouble(purchase: Purchase, payment: Payment) -> str:
    """Why this payment cannot be for this order; empty when it can."""
    if payment.currency != purchase.currency or payment.amount != purchase.amount:
        return _(
            "Paid %(paid)s %(paid_currency)s, expected %(ordered)s %(ordered_currency)s (minor units)"
        ) % {
            "paid": payment.amount,
            "paid_currency": payment.currency.upper(),
            "ordered": purchase.amount,
            "ordered_currency": purchase.currency.upper(),
        }
    if payment.account and payment.account != purchase.account.public_id:
        return _("The payment belongs to another account: %(account)s") % {"account": payment.account}
    others = Purchase.objects.exclude(pk=purchase.pk)
    if payment.payment_id and others.filter(stripe_payment_id=payment.payment_id).exists():
        return _("The payment already belongs to another purchase")
    if _needs_paid_plan(purchase) and not _on_paid_plan(purchase):
        return _("The account is not on a paid plan, and this pack is for paid plans only")
    return ""


def _needs_paid_plan(purchase: Purchase) -> bool:
    rows = Pack.objects.filter(key=purchase.offer, paid_plans_only=True)
    return purchase.kind == Purchase.Kind.PACK and rows.exists()


def _on_paid_plan(purchase: Purchase) -> bool:
    key = Subscription.objects.filter(account_id=purchase.account_id).values_list("plan", flat=True).first()
    plan = Plan.objects.filter(key=key).first()
    return plan is not None and plan.paid


def _quarantine(purchase: Purchase, payment: Payment, trouble: str, now: datetime) -> None:
    purchase.status, purchase.trouble, purchase.closed_at = Purchase.Status.QUARANTINED, trouble[:500], now
    if not Purchase.objects.filter(stripe_payment_id=payment.payment_id).exists():
        purchase.stripe_payment_id = payment.payment_id
    purchase.save(update_fields=["status", "trouble", "closed_at", "stripe_payment_id"])


def _credit(purchase: Purchase, payment: Payment, now: datetime) -> None:
    """Locked purchase -> paid: credits, invoice number, receipt. The wallet is locked before the numbers."""
    if purchase.credits:
        ledger.grant(
            account_id=purchase.account_id,
            credits=purchase.credits,
            kind="top_up",
            label=purchase.label,
            key=f"purchase:{purchase.pk.hex}",
            expires_at=validity.ends_at(purchase.lasts, now),
            purchase_id=purchase.pk,
            now=now,
        )
    purchase.status, purchase.paid_at, purchase.closed_at = Purchase.Status.PAID, now, None
    purchase.stripe_payment_id = payment.payment_id or purchase.stripe_payment_id
    purchase.stripe_invoice_id = payment.invoice_id or purchase.stripe_invoice_id
    purchase.payment_method = payment.method or purchase.payment_method
    purchase.receipt_url = payment.receipt_url or purchase.receipt_url
    referrals.purchase_paid(purchase, now)
    invoices.number(purchase, now)
    purchase.save()
    _tell(purchase, "receipt", now)
    # The inviter's wallet is another one: it is touched when this one is free again (no two locks at once).
    transaction.on_commit(lambda: referrals.reward_if_due(purchase.account_id, now), robust=True)


def _complete(purchase: Purchase, payment: Payment) -> None:
    """Paid already: keep what this news knows and the first did not."""
    facts = {
        "stripe_payment_id": payment.payment_id,
        "stripe_invoice_id": payment.invoice_id,
        "payment_method": payment.method,
        "receipt_url": payment.receipt_url,
    }
    missing = {name: value for name, value in facts.items() if value and not getattr(purchase, name)}
    taken = Purchase.objects.exclude(pk=purchase.pk).filter(stripe_payment_id=payment.payment_id or "-")
    if missing and not taken.exists():
        Purchase.objects.filter(pk=purchase.pk).update(**missing)


def _tell(purchase: Purchase, template: str, now: datetime) -> None:
    emails.queue(
        account_id=purchase.account_id,
        template=template,
        key=f"{template}:{purchase.pk.hex}",
        context={
            "label": purchase.label,
            "credits": plain(purchase.credits),
            "amount": purchase.amount,
            "currency": purchase.currency,
            "number": purchase.invoice_number or "",
            "trouble": purchase.trouble,
            "purchase": purchase.public_id,
        },
        now=now,
    )


def give_back(purchase: Purchase, amount: int) -> None:
    """Count money on its way back (negative: back with us). Raises IntegrityError beyond what was paid."""
    Purchase.objects.filter(pk=purchase.pk).update(refunded=F("refunded") + amount)
