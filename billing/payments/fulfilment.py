"""Apply payments to purchases: credits, invoice number and receipt, exactly once.

Invariants: every change happens under the purchase's row lock, in one transaction; the idempotency key of the
credits is the purchase, never the event; a payment that differs from its purchase in amount, currency or
account credits nothing and waits for staff; a payment that arrives after the purchase was closed still
credits.
Lock order: automatic top-up settings, purchase, promotion, wallet, invoice year.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import F
from django.utils.translation import gettext_noop

from billing import ledger, validity
from billing.models import AutoTopUp, Purchase, Refund, Subscription
from billing.notifications import emails, webhook_events
from billing.payments import clawbacks, invoices, taxes
from billing.promotions import redemption, referrals
from billing.stripe_gateway import StripeObject
from core.amounts import plain
from pricing.models import Pack, Plan

AUTOMATIC = "automatic"  # who decided the refund of a surplus subscription


REFUSED_OR_MISSING = gettext_noop("The payment was refused or did not arrive.")  # stored, and so in English


@dataclass(frozen=True, kw_only=True)
class Payment:
    """A successful payment as Stripe reports it. `amount` in minor units."""

    amount: int
    currency: str
    payment_id: str | None = None
    invoice_id: str | None = None
    method: str = ""
    receipt_url: str = ""
    account: str = ""  # public id of the account in Stripe's metadata, if there is one
    tax: taxes.Tax | None = None  # None: not stated
    balance_used: int = 0  # of the customer's credit balance at Stripe

    @property
    def price(self) -> int:
        """What was paid for the purchase itself, in minor units."""
        return self.amount + self.balance_used - (self.tax.added if self.tax else 0)


@dataclass(frozen=True, kw_only=True)
class AppliedIntent:
    """The purchase of a payment intent after the intent was applied."""

    purchase: Purchase
    payment_id: str
    changed: bool  # whether the purchase's status changed; False for a repeated or older event
    error: StripeObject  # the intent's last_payment_error; empty when there is none


def apply_payment_intent(intent: StripeObject, now: datetime) -> AppliedIntent | None:
    """Bring the purchase named in a payment intent's metadata to the intent's status. None: there is none.

    Only automatic top-ups follow an intent that has not succeeded, because they have one attempt. On a
    Checkout page the buyer can try again, so Checkout session events decide there.
    """
    purchase = Purchase.with_public_id(str((intent.get("metadata") or {}).get("purchase", "")))
    if purchase is None:
        return None
    automatic = purchase.origin == Purchase.Origin.AUTO_TOP_UP
    status, error = intent.get("status"), intent.get("last_payment_error") or {}
    with transaction.atomic():
        if automatic:
            AutoTopUp.objects.select_for_update(no_key=True).filter(pk=purchase.account_id).first()
        purchase = lock_purchase(purchase.pk)
        before = purchase.status
        if status == "succeeded":
            purchase = record_payment(purchase.pk, _payment_of(intent), now)
        elif automatic and status == "processing":
            purchase = mark_pending(purchase.pk, method="", now=now)
        elif automatic and status in {"canceled", "requires_payment_method"}:
            reason = str(error.get("message") or "")
            purchase = mark_failed(purchase.pk, reason=reason, now=now, notify=False)
    return AppliedIntent(
        purchase=purchase, payment_id=str(intent["id"]), changed=purchase.status != before, error=error
    )


def record_payment(purchase_id: UUID, payment: Payment, now: datetime) -> Purchase:
    """Mark a purchase as paid and grant its credits, once. Safe to repeat and to run concurrently."""
    with transaction.atomic():
        purchase = lock_purchase(purchase_id)
        if payment.tax is None and purchase.status != Purchase.Status.PAID:
            payment = replace(payment, tax=taxes.unstated(purchase, payment.amount))
        if purchase.status == Purchase.Status.PAID:
            _fill_missing_details(purchase, payment)
        elif purchase.status != Purchase.Status.QUARANTINED:
            mismatch = _mismatch(purchase, payment)
            if mismatch:
                _quarantine(purchase, payment, mismatch, now)
            else:
                _credit(purchase, payment, now)
    return purchase


def record_surplus_payment(purchase_id: UUID, payment: Payment, now: datetime) -> Purchase:
    """Record the payment of a surplus subscription and refund it in full. Safe to repeat."""
    with transaction.atomic():
        purchase = lock_purchase(purchase_id)
        if purchase.status == Purchase.Status.PAID:
            _fill_missing_details(purchase, payment)
        elif purchase.status != Purchase.Status.QUARANTINED:
            mismatch = _mismatch(purchase, payment)
            if mismatch:
                _quarantine(purchase, payment, mismatch, now)
            else:
                _mark_paid(purchase, payment, now)
    return refund_surplus(purchase_id, now)


def refund_surplus(purchase_id: UUID, now: datetime) -> Purchase:
    """Refund the whole payment of a surplus subscription, once; refunds.requests sends it to Stripe."""
    with transaction.atomic():
        purchase = lock_purchase(purchase_id)
        refundable = purchase.status == Purchase.Status.PAID and purchase.stripe_payment_id
        left = purchase.amount - purchase.refunded
        if not refundable or left <= 0 or purchase.refunds.filter(decided_by=AUTOMATIC).exists():
            return purchase
        add_refunded_amount(purchase, left)
        Refund.objects.create(
            account_id=purchase.account_id,
            purchase=purchase,
            status=Refund.Status.APPROVED,
            amount=left,
            currency=purchase.currency,
            decided_by=AUTOMATIC,
            decision=gettext_noop("The subscription was cancelled, because the account has another plan."),
            created_at=now,
            decided_at=now,
        )
        _queue_email(purchase, "second_plan_refunded", now)
        purchase.refresh_from_db(fields=["refunded"])
    return purchase


def credit_quarantined(purchase: Purchase, *, actor: str, now: datetime) -> Purchase:
    """Credit a quarantined purchase as it was made, after staff have checked its payment."""
    with transaction.atomic():
        purchase = lock_purchase(purchase.pk)
        if purchase.status != Purchase.Status.QUARANTINED:
            return purchase
        purchase.error = (gettext_noop("Released by %(actor)s") % {"actor": actor})[:500]
        _credit(purchase, Payment(amount=purchase.amount, currency=purchase.currency), now)
        clawbacks.apply_active_claims(purchase, now)
    return purchase


def mark_pending(
    purchase_id: UUID,
    *,
    method: str,
    now: datetime,
    instructions_url: str = "",
    tax: taxes.Tax | None = None,
) -> Purchase:
    """The buyer has finished, the money has not arrived: show the purchase as pending, credit nothing."""
    with transaction.atomic():
        purchase = lock_purchase(purchase_id)
        if purchase.status in {Purchase.Status.CREATED, Purchase.Status.CANCELLED}:
            purchase.status = Purchase.Status.PENDING
            purchase.payment_method = method
            _set_tax(purchase, tax)
            purchase.save(
                update_fields=["status", "payment_method", "tax", "tax_behavior", "country", "billed_to"]
            )
            redemption.recount_discount(purchase)
            _queue_email(purchase, "payment_pending", now)
        if instructions_url and not purchase.instructions_url:
            purchase.instructions_url = instructions_url
            purchase.save(update_fields=["instructions_url"])
    return purchase


def mark_failed(purchase_id: UUID, *, reason: str, now: datetime, notify: bool = True) -> Purchase:
    """Close an unpaid purchase whose payment failed, with the reason; `notify` e-mails the owners."""
    with transaction.atomic():
        purchase = lock_purchase(purchase_id)
        if not purchase.settled:
            purchase.status, purchase.error, purchase.closed_at = Purchase.Status.FAILED, reason[:500], now
            purchase.save(update_fields=["status", "error", "closed_at"])
            redemption.release_discount(purchase, now)
            webhook_events.purchase_failed(purchase, now)
            if notify:
                _queue_email(purchase, "payment_failed", now)
    return purchase


def record_charge_details(purchase_id: UUID, *, receipt_url: str, method: str) -> None:
    """Store a Stripe charge's receipt and payment method where the purchase has none."""
    with transaction.atomic():
        purchase = lock_purchase(purchase_id)
        purchase.receipt_url = purchase.receipt_url or receipt_url
        purchase.payment_method = purchase.payment_method or method
        purchase.save(update_fields=["receipt_url", "payment_method"])


def mark_cancelled(purchase_id: UUID, now: datetime) -> Purchase:
    """Close a purchase whose payment page was closed or expired unpaid."""
    with transaction.atomic():
        purchase = lock_purchase(purchase_id)
        if purchase.status == Purchase.Status.CREATED:
            purchase.status, purchase.closed_at = Purchase.Status.CANCELLED, now
            purchase.save(update_fields=["status", "closed_at"])
            redemption.release_discount(purchase, now)
    return purchase


def add_refunded_amount(purchase: Purchase, amount: int) -> None:
    """Add to the purchase's refunded money, in minor units; a negative amount corrects a refund that failed.

    Raises IntegrityError when more than was paid would be refunded.
    """
    Purchase.objects.filter(pk=purchase.pk).update(refunded=F("refunded") + amount)


def lock_purchase(purchase_id: UUID) -> Purchase:
    """The purchase with its row locked until the transaction ends."""
    return (
        Purchase.objects.select_for_update(of=("self",), no_key=True)
        .select_related("account")
        .get(pk=purchase_id)
    )


def _payment_of(intent: StripeObject) -> Payment:
    charge = intent.get("latest_charge")
    charge = charge if isinstance(charge, dict) else {}
    return Payment(
        amount=int(intent.get("amount_received") or 0),
        currency=str(intent["currency"]),
        payment_id=str(intent["id"]),
        method=str((charge.get("payment_method_details") or {}).get("type") or ""),
        receipt_url=str(charge.get("receipt_url") or ""),
        account=str((intent.get("metadata") or {}).get("account", "")),
    )


def _mismatch(purchase: Purchase, payment: Payment) -> str:
    """Why this payment cannot belong to this purchase; empty when it can."""
    if payment.currency != purchase.currency or payment.price != purchase.amount:
        return gettext_noop(
            "Paid %(paid)s %(paid_currency)s, expected %(expected)s %(expected_currency)s (minor units)"
        ) % {
            "paid": payment.price,
            "paid_currency": payment.currency.upper(),
            "expected": purchase.amount,
            "expected_currency": purchase.currency.upper(),
        }
    if payment.account and payment.account != purchase.account.public_id:
        return gettext_noop("The payment belongs to another account: %(account)s") % {
            "account": payment.account
        }
    if purchase.account.erased_at is not None:
        return gettext_noop("The account was deleted before the payment arrived")
    others = Purchase.objects.exclude(pk=purchase.pk)
    if payment.payment_id and others.filter(stripe_payment_id=payment.payment_id).exists():
        return gettext_noop("The payment already belongs to another purchase")
    if _needs_paid_plan(purchase) and not _on_paid_plan(purchase):
        return gettext_noop("The account is not on a paid plan, and this pack is for paid plans only")
    return ""


def _needs_paid_plan(purchase: Purchase) -> bool:
    packs = Pack.objects.filter(key=purchase.offer, paid_plans_only=True)
    return purchase.kind == Purchase.Kind.PACK and packs.exists()


def _on_paid_plan(purchase: Purchase) -> bool:
    key = Subscription.objects.filter(account_id=purchase.account_id).values_list("plan", flat=True).first()
    plan = Plan.objects.filter(key=key).first()
    return plan is not None and plan.paid


def _quarantine(purchase: Purchase, payment: Payment, reason: str, now: datetime) -> None:
    purchase.status, purchase.error, purchase.closed_at = Purchase.Status.QUARANTINED, reason[:500], now
    if not Purchase.objects.filter(stripe_payment_id=payment.payment_id).exists():
        purchase.stripe_payment_id = payment.payment_id
    purchase.save(update_fields=["status", "error", "closed_at", "stripe_payment_id"])


def _credit(purchase: Purchase, payment: Payment, now: datetime) -> None:
    """Mark a locked purchase as paid: credits, invoice number, receipt, in the lock order above."""
    redemption.recount_discount(purchase)
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
    referrals.mark_qualifying_purchase(purchase, now)
    _mark_paid(purchase, payment, now)
    _queue_email(purchase, "receipt", now)
    # The reward also credits the inviter's wallet; two wallets are never locked in one transaction.
    transaction.on_commit(lambda: referrals.reward_if_due(purchase.account_id, now), robust=True)


def _mark_paid(purchase: Purchase, payment: Payment, now: datetime) -> None:
    purchase.status, purchase.paid_at, purchase.closed_at = Purchase.Status.PAID, now, None
    purchase.stripe_payment_id = payment.payment_id or purchase.stripe_payment_id
    purchase.stripe_invoice_id = payment.invoice_id or purchase.stripe_invoice_id
    purchase.payment_method = payment.method or purchase.payment_method
    purchase.receipt_url = payment.receipt_url or purchase.receipt_url
    purchase.amount, purchase.balance_used = payment.amount, payment.balance_used
    invoices.assign_number(purchase, now)
    _set_tax(purchase, payment.tax)
    purchase.save()
    webhook_events.purchase_paid(purchase, now)


def _set_tax(purchase: Purchase, tax: taxes.Tax | None) -> None:
    if tax is not None:
        purchase.tax, purchase.country = tax.amount, tax.country
        if tax.added:
            purchase.tax_behavior = taxes.EXCLUSIVE
        purchase.billed_to = purchase.billed_to | ({"tax_id": tax.tax_id} if tax.tax_id else {})


def _fill_missing_details(purchase: Purchase, payment: Payment) -> None:
    """Store details of the payment that an earlier event of the same payment did not carry."""
    details = {
        "stripe_payment_id": payment.payment_id,
        "stripe_invoice_id": payment.invoice_id,
        "payment_method": payment.method,
        "receipt_url": payment.receipt_url,
    }
    missing = {name: value for name, value in details.items() if value and not getattr(purchase, name)}
    taken = Purchase.objects.exclude(pk=purchase.pk).filter(stripe_payment_id=payment.payment_id or "-")
    if missing and not taken.exists():
        Purchase.objects.filter(pk=purchase.pk).update(**missing)
    if payment.tax is not None and not purchase.country:  # a payment intent states no tax
        _set_tax(purchase, payment.tax)
        purchase.save(update_fields=["tax", "tax_behavior", "country", "billed_to"])


def _queue_email(purchase: Purchase, template: str, now: datetime) -> None:
    emails.queue(
        account_id=purchase.account_id,
        template=template,
        key=f"{template}:{purchase.pk.hex}",
        context={
            "label": purchase.label,
            "kind": purchase.kind,
            "days": purchase.usual_days,
            "credits": plain(purchase.credits),
            "amount": purchase.amount if purchase.paid_at else purchase.total,
            "currency": purchase.currency,
            "number": purchase.invoice_number or "",
            "error": purchase.error,
            "purchase": purchase.public_id,
        },
        now=now,
    )
