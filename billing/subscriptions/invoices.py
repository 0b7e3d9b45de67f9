"""Record the paid invoices of subscriptions as purchases.

Invariant: an invoice is recorded once, as the purchase that the buyer made or as a renewal.
"""

from datetime import datetime

from billing.models import Purchase, StripePrice
from billing.payments import fulfilment, taxes
from billing.stripe_gateway import StripeObject
from billing.subscriptions import prices, surplus
from billing.subscriptions.stripe_objects import (
    StripeSubscription,
    as_datetime,
    id_of,
    imported_at,
    parse_subscription,
)
from pricing.models import Plan


def record_paid_invoice(invoice: StripeObject, subscription: StripeObject, now: datetime) -> Purchase | None:
    """Record a paid invoice of a subscription as a purchase, once. Both objects are retrieved just before.

    The first invoice completes the purchase that the buyer made, a later one creates a purchase. Returns None
    when the invoice is not paid, costs nothing or is older than the import of its subscription. Raises
    UnmatchedObject.
    """
    if invoice.get("status") != "paid" or not (invoice.get("amount_paid") or _from_balance(invoice)):
        return None
    recorded = Purchase.objects.filter(stripe_invoice_id=invoice["id"]).first()
    if recorded is not None and not surplus.is_surplus(recorded.stripe_subscription_id):
        return recorded
    if int(invoice.get("created") or 0) <= imported_at(subscription):
        return None
    remote = parse_subscription(subscription)
    purchase = _initial_purchase(invoice, subscription, remote) or _renewal_purchase(invoice, remote, now)
    payment = fulfilment.Payment(
        amount=int(invoice["amount_paid"]),
        currency=str(invoice["currency"]),
        payment_id=payment_id(invoice),
        invoice_id=str(invoice["id"]),
        method="" if purchase.payment_method else "card",
        receipt_url=str(invoice.get("hosted_invoice_url") or ""),
        account=remote.account.public_id,
        tax=taxes.of_invoice(invoice),
        balance_used=_from_balance(invoice),
    )
    Purchase.objects.filter(pk=purchase.pk).update(stripe_subscription_id=remote.id)
    if surplus.is_surplus(remote.id):
        return fulfilment.record_surplus_payment(purchase.pk, payment, now)
    return fulfilment.record_payment(purchase.pk, payment, now)


def _from_balance(invoice: StripeObject) -> int:
    """What the customer's credit balance at Stripe paid of the total; negative: a debt was collected.

    An amount below Stripe's minimum is not charged but moves to that balance, too.
    https://docs.stripe.com/billing/customer/balance
    """
    paid = int(invoice.get("amount_paid") or 0)
    total = int(invoice.get("total", paid))
    return total - paid if total > 0 else 0


def _initial_purchase(
    invoice: StripeObject, subscription: StripeObject, remote: StripeSubscription
) -> Purchase | None:
    if invoice.get("billing_reason") != "subscription_create":
        return None
    public_id = str((subscription.get("metadata") or {}).get("purchase", ""))
    purchase = Purchase.with_public_id(public_id)
    if purchase is None or purchase.account_id != remote.account.pk or purchase.kind != Purchase.Kind.PLAN:
        return None
    _save_period(purchase, invoice)
    return purchase


def _renewal_purchase(invoice: StripeObject, remote: StripeSubscription, now: datetime) -> Purchase:
    price = _price_of(invoice) or remote.price
    plan = Plan.objects.get(key=price.plan_key)
    tax = taxes.of_invoice(invoice)
    amount = int(invoice["amount_paid"]) + _from_balance(invoice) - (tax.added if tax else 0)
    purchase, _created = Purchase.objects.get_or_create(
        account=remote.account,
        idempotency_key=f"invoice:{invoice['id']}",
        defaults={
            "kind": Purchase.Kind.PLAN,
            "origin": Purchase.Origin.RENEWAL,
            "offer": plan.key,
            "interval": price.interval,
            "label": plan.name,
            "amount": amount,
            "list_amount": amount,
            "currency": str(invoice["currency"]),
            "created_at": now,
        },
    )
    _save_period(purchase, invoice)
    return purchase


def _price_of(invoice: StripeObject) -> StripePrice | None:
    """The price that an invoice charges: the subscription may have another one by now."""
    lines: list[StripeObject] = (invoice.get("lines") or {}).get("data") or []
    for line in reversed(lines):
        details = (line.get("pricing") or {}).get("price_details") or {}
        price = details.get("price") or line.get("price") or line.get("plan")  # the latter before 2025-03-31
        if price and int(line.get("amount") or 0) > 0:
            return prices.find_price(id_of(price))
    return None


def _save_period(purchase: Purchase, invoice: StripeObject) -> None:
    lines: list[StripeObject] = (invoice.get("lines") or {}).get("data") or []
    # a line that credits unused time has a period of the payment before
    periods = [line["period"] for line in lines if line.get("period") and int(line.get("amount") or 0) >= 0]
    if periods:
        Purchase.objects.filter(pk=purchase.pk).update(
            period_start=as_datetime(min(period["start"] for period in periods)),
            period_end=as_datetime(max(period["end"] for period in periods)),
        )


def payment_id(invoice: StripeObject) -> str | None:
    """The PaymentIntent that paid the invoice, before that the open one.

    An invoice can also have payments that were canceled (https://docs.stripe.com/api/invoice-payment); before
    API version 2025-03-31 it had one, in a field of its own.
    """
    payments: list[StripeObject] = (invoice.get("payments") or {}).get("data") or []
    for status in ("paid", "open"):
        for payment in payments:
            payment_intent = (payment.get("payment") or {}).get("payment_intent")
            if payment_intent and payment.get("status") == status:
                return id_of(payment_intent)
    return id_of(invoice["payment_intent"]) if invoice.get("payment_intent") else None
