"""How each type of Stripe event is handled: `fetch` calls Stripe, then `apply` runs in one transaction.

Invariant: `apply` may be repeated, run late and in any order, and reaches the same state. An event that
cannot be matched with a purchase credits nothing and raises EventNotUnderstood.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from django.utils.translation import gettext as _

from accounts.models import Account
from billing import stripe_gateway
from billing.models import Purchase
from billing.payments import cards, fulfilment, recovery
from billing.purchases import auto_top_up, checkout, plan_checkout, plan_conflicts
from billing.refunds import disputes, plan_payments, stripe_refunds
from billing.stripe_gateway import StripeObject
from billing.subscriptions import invoices, lifecycle, stripe_objects, stripe_sync
from billing.webhooks.payloads import EventNotUnderstood

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Handler:
    """`fetch` may call Stripe, outside a transaction; `apply` returns whether the event is relevant.

    `finish` calls Stripe after the commit, for what `apply` has decided; a task repeats it.
    `required` are the fields of the event's object without which it cannot be handled.
    """

    fetch: Callable[[StripeObject], Any]
    apply: Callable[[Any, datetime], bool]
    required: tuple[str, ...] = ("id",)
    finish: Callable[[datetime], object] | None = None


def handler_of(event_type: str) -> Handler | None:
    """The handler of a type of event; None for types that are ignored."""
    return _HANDLERS.get(event_type)


def _unchanged(stripe_object: StripeObject) -> StripeObject:
    return stripe_object


# Checkout

_Related = plan_checkout.PlanCheckout | cards.CompletedSetup | None


def _fetch_checkout(session: StripeObject) -> tuple[StripeObject, _Related]:
    """The session with its saved card or plan; fetched again if its purchase is missing."""
    if session.get("mode") == "setup":
        return session, cards.fetch_setup(session)
    if session.get("mode") == "subscription":
        return session, plan_checkout.fetch(str(session["id"]))
    if _purchase_of(session) is None and "purchase" in (session.get("metadata") or {}):
        return stripe_gateway.retrieve_checkout_session(str(session["id"])), None
    return session, None


def _apply_checkout(fetched: tuple[StripeObject, _Related], now: datetime) -> bool:
    session, related = fetched
    if session.get("mode") == "setup":
        return cards.record_setup(related if isinstance(related, cards.CompletedSetup) else None, now)
    purchase = _matching_purchase(_purchase_of(session) or recovery.restore_from_session(session), session)
    if isinstance(related, plan_checkout.PlanCheckout):
        plan_checkout.apply(purchase, related, now)
        _record_session(purchase, session)
        return True
    _record_session(purchase, session)
    checkout.apply_session(purchase, session, now)
    return True


def _apply_checkout_failed(fetched: tuple[StripeObject, _Related], now: datetime) -> bool:
    session, related = fetched
    if isinstance(related, plan_checkout.PlanCheckout):
        return _apply_checkout(fetched, now)
    purchase = _matching_purchase(_purchase_of(session), session)
    _record_session(purchase, session)
    fulfilment.mark_failed(purchase.pk, reason=fulfilment.REFUSED_OR_MISSING, now=now)
    return True


def _purchase_of(session: StripeObject) -> Purchase | None:
    found = Purchase.objects.filter(stripe_session_id=session.get("id") or "-").first()
    if found is not None:
        return found
    public_id = session.get("client_reference_id") or (session.get("metadata") or {}).get("purchase")
    purchase = Purchase.with_public_id(str(public_id or ""))
    # Without a recorded session, a crash came between creating the session and storing its id.
    return purchase if purchase is not None and purchase.stripe_session_id is None else None


def _matching_purchase(purchase: Purchase | None, session: StripeObject) -> Purchase:
    """The session's purchase. Raises EventNotUnderstood if they do not match."""
    if purchase is None:
        raise EventNotUnderstood(
            _("No purchase matches this Checkout session: %(id)s") % {"id": session.get("id")}
        )
    account = (session.get("metadata") or {}).get("account")
    if account and account != purchase.account.public_id:
        raise EventNotUnderstood(
            _("The Checkout session belongs to another account than the purchase: %(account)s")
            % {"account": account}
        )
    return purchase


def _record_session(purchase: Purchase, session: StripeObject) -> None:
    """Store the session's id on a purchase whose process died before it could."""
    if purchase.stripe_session_id is None:
        unrecorded = Purchase.objects.filter(pk=purchase.pk, stripe_session_id=None)
        unrecorded.update(stripe_session_id=session["id"])


# Payments


def _fetch_payment(intent: StripeObject) -> StripeObject:
    """A payment whose purchase is missing is restored only from Stripe's response, not from the event."""
    return (
        stripe_gateway.retrieve_payment_intent(str(intent["id"])) if recovery.is_missing(intent) else intent
    )


def _apply_payment(intent: StripeObject, now: datetime) -> bool:
    if recovery.is_missing(intent):
        recovery.restore_from_intent(intent)
    applied = fulfilment.apply_payment_intent(intent, now)
    if applied is not None:
        auto_top_up.record_payment_result(applied, now)
    return applied is not None


def _apply_charge(charge: StripeObject, now: datetime) -> bool:
    """Store receipt and payment method. The payment status comes from payment_intent events."""
    public_id = str((charge.get("metadata") or {}).get("purchase", ""))
    paid = Purchase.objects.filter(stripe_payment_id=charge.get("payment_intent") or "-")
    purchase = paid.first() or Purchase.with_public_id(public_id)
    if purchase is None:
        return False
    method = str((charge.get("payment_method_details") or {}).get("type") or "")
    receipt_url = str(charge.get("receipt_url") or "")
    fulfilment.record_charge_details(purchase.pk, receipt_url=receipt_url, method=method)
    return True


# Refunds and disputes. An event that arrives before its payment's event applies the payment first.


@dataclass(frozen=True)
class _FetchedClaim:
    """A refund, dispute or charge with the id of its payment."""

    facts: StripeObject
    payment: StripeObject | None  # the payment intent, if no purchase has recorded it yet
    # the invoice and subscription that it paid, if it paid a plan
    invoice: tuple[StripeObject, stripe_sync.Snapshot] | None = None
    # all refunds of the charge as Stripe has them now, failed ones first
    refunds: tuple[StripeObject, ...] = ()


def _fetch_refund(refund: StripeObject) -> _FetchedClaim:
    refund = refund if refund.get("payment_intent") else stripe_gateway.retrieve_refund(str(refund["id"]))
    return _fetch_claim(refund, refunds=_fetch_refunds(refund.get("charge")))


def _apply_refund(claim: _FetchedClaim, now: datetime) -> bool:
    _apply_missing_payment(claim, now)
    relevant = False
    for refund in claim.refunds:
        relevant |= stripe_refunds.apply_stripe_refund(refund, now) is not None
    # Stripe's list is newer than the event, except that a failure is final.
    listed = claim.facts["id"] in {refund["id"] for refund in claim.refunds}
    if not listed or claim.facts.get("status") in stripe_refunds.FAILED_AT_STRIPE:
        relevant |= stripe_refunds.apply_stripe_refund(claim.facts, now) is not None
    return relevant


def _fetch_refunded_charge(charge: StripeObject) -> _FetchedClaim:
    return _fetch_claim(charge, refunds=_fetch_refunds(charge["id"]))


def _apply_refunded_charge(claim: _FetchedClaim, now: datetime) -> bool:
    _apply_missing_payment(claim, now)
    charge = claim.facts
    purchase = Purchase.objects.filter(stripe_payment_id=charge["payment_intent"] or "-").first()
    if purchase is None:
        return False
    for refund in claim.refunds:
        stripe_refunds.apply_stripe_refund(refund, now)
    stripe_refunds.apply_refunded_total(purchase, int(charge["amount_refunded"]), now)
    return True


def _fetch_dispute(dispute: StripeObject) -> tuple[_FetchedClaim, disputes.Snapshot]:
    snapshot = disputes.fetch_snapshot(str(dispute["id"]))
    return _fetch_claim(snapshot.facts), snapshot


def _apply_dispute(fetched: tuple[_FetchedClaim, disputes.Snapshot], now: datetime) -> bool:
    claim, snapshot = fetched
    _apply_missing_payment(claim, now)
    return disputes.apply_snapshot(snapshot, now) is not None


def _fetch_claim(facts: StripeObject, refunds: tuple[StripeObject, ...] = ()) -> _FetchedClaim:
    payment = facts.get("payment_intent")
    payment_id = payment["id"] if isinstance(payment, dict) else payment
    facts = {**facts, "payment_intent": payment_id}
    if not payment_id or Purchase.objects.filter(stripe_payment_id=payment_id).exists():
        return _FetchedClaim(facts, None, refunds=refunds)
    try:
        payment = stripe_gateway.retrieve_payment_intent(str(payment_id))
    except stripe_gateway.ResourceMissing:
        return _FetchedClaim(facts, None, refunds=refunds)
    # A plan's payment names no purchase; it is recorded with the invoice that it paid.
    names_purchase = "purchase" in (payment.get("metadata") or {})
    invoice = None if names_purchase else stripe_gateway.find_invoice_of_payment(str(payment_id))
    return _FetchedClaim(facts, payment, _fetch_invoice(invoice) if invoice else None, refunds)


def _fetch_refunds(charge: Any) -> tuple[StripeObject, ...]:
    charge_id = charge["id"] if isinstance(charge, dict) else charge
    try:
        refunds = stripe_gateway.list_refunds_of_charge(str(charge_id)) if charge_id else []
    except stripe_gateway.ResourceMissing:
        refunds = []
    return tuple(stripe_refunds.failed_first(refunds))


def _apply_missing_payment(claim: _FetchedClaim, now: datetime) -> None:
    if claim.invoice is not None:
        _apply_invoice(claim.invoice, now)
    elif claim.payment is not None and claim.payment.get("status") == "succeeded":
        _apply_payment(claim.payment, now)


# Subscriptions: always the state fetched from Stripe, never the event's


def _fetch_subscription(
    subscription: StripeObject,
) -> tuple[stripe_sync.Snapshot, cards.CardsAtStripe | None]:
    """The subscription, and the cards that are charged; both as Stripe has them now."""
    subscription_id = str(subscription["id"])
    account_id = cards.account_of_customer(str(subscription.get("customer") or ""))
    charged = cards.fetch(account_id, subscription_id=subscription_id) if account_id else None
    return stripe_sync.fetch_snapshot(subscription_id), charged


def _apply_subscription(
    fetched: tuple[stripe_sync.Snapshot, cards.CardsAtStripe | None], now: datetime
) -> bool:
    subscription, charged = fetched
    if charged is not None:  # docs/decisions/0070: account, subscription, cards, automatic top-up, wallet
        lifecycle.lock_subscription(charged.account_id)
        cards.store(charged, now)
    stripe_sync.apply_fetched(subscription, now)
    return True


def _fetch_invoice(invoice: StripeObject) -> tuple[StripeObject, stripe_sync.Snapshot] | None:
    subscription_id = stripe_objects.invoice_subscription_id(invoice)
    if subscription_id is None:
        return None
    subscription = stripe_sync.fetch_snapshot(subscription_id)
    return stripe_gateway.retrieve_invoice(str(invoice["id"])), subscription


def _apply_invoice(fetched: tuple[StripeObject, stripe_sync.Snapshot] | None, now: datetime) -> bool:
    if fetched is None:
        return False
    invoice, subscription = fetched
    # In this order the wallet is locked before the invoice year, as when a pack is paid (no deadlock).
    stripe_sync.apply_fetched(subscription, now)
    invoices.record_paid_invoice(invoice, subscription.payload, now)
    return True


def _apply_not_finalized(invoice: StripeObject, now: datetime) -> bool:
    """Stripe cannot finalize an invoice, for want of an address for its tax for example: staff must act.

    It stays a draft that nobody can pay (https://docs.stripe.com/tax/customer-locations).
    """
    log.error(
        "stripe_invoice_not_finalized",
        alert=True,
        invoice=str(invoice["id"]),
        customer=stripe_objects.id_of(invoice.get("customer")),
        reason=str((invoice.get("last_finalization_error") or {}).get("message") or ""),
    )
    return True


# Saved cards: always those that Stripe has now, never the event's


def _fetch_customer(customer: StripeObject) -> cards.CardsAtStripe | None:
    account = Account.with_public_id(str((customer.get("metadata") or {}).get("account", "")))
    account_id = account.pk if account else cards.account_of_customer(str(customer["id"]))
    return cards.fetch(account_id) if account_id else None


def _fetch_payment_method(method: StripeObject) -> cards.CardsAtStripe | None:
    """A detached method names no customer: its account is the one that has stored it."""
    customer = str(method.get("customer") or "")
    account_id = cards.account_of_customer(customer) or cards.account_of_card(str(method["id"]))
    return cards.fetch(account_id) if account_id else None


def _apply_cards(charged: cards.CardsAtStripe | None, now: datetime) -> bool:
    cards.store(charged, now)
    return charged is not None


_CHECKOUT = Handler(_fetch_checkout, _apply_checkout, finish=plan_conflicts.carry_out)
_CHARGE = Handler(_unchanged, _apply_charge)
_CLAIMED = plan_payments.bring_subscriptions_in_line
_REFUND = Handler(_fetch_refund, _apply_refund, ("id", "amount"), finish=_CLAIMED)
_REFUNDED_CHARGE = Handler(
    _fetch_refunded_charge,
    _apply_refunded_charge,
    ("id", "payment_intent", "amount_refunded"),
    finish=_CLAIMED,
)
_DISPUTE = Handler(_fetch_dispute, _apply_dispute, ("id", "amount", "currency", "status"), finish=_CLAIMED)
_PAYMENT = Handler(_fetch_payment, _apply_payment, ("id", "currency"))
_SUBSCRIPTION = Handler(_fetch_subscription, _apply_subscription, finish=plan_conflicts.carry_out)
_INVOICE = Handler(_fetch_invoice, _apply_invoice, finish=plan_conflicts.carry_out)
_METHOD = Handler(_fetch_payment_method, _apply_cards)

_HANDLERS: dict[str, Handler] = {
    "checkout.session.completed": _CHECKOUT,
    "checkout.session.async_payment_succeeded": _CHECKOUT,
    "checkout.session.async_payment_failed": Handler(
        _fetch_checkout, _apply_checkout_failed, finish=plan_conflicts.carry_out
    ),
    "checkout.session.expired": _CHECKOUT,
    "payment_intent.succeeded": _PAYMENT,
    "payment_intent.payment_failed": _PAYMENT,
    "payment_intent.canceled": _PAYMENT,
    "refund.created": _REFUND,
    "refund.updated": _REFUND,
    "refund.failed": _REFUND,
    "charge.refund.updated": _REFUND,
    "charge.succeeded": _CHARGE,
    "charge.updated": _CHARGE,
    "charge.refunded": _REFUNDED_CHARGE,
    "charge.dispute.created": _DISPUTE,
    "charge.dispute.updated": _DISPUTE,
    "charge.dispute.closed": _DISPUTE,
    "charge.dispute.funds_withdrawn": _DISPUTE,
    "charge.dispute.funds_reinstated": _DISPUTE,
    "customer.subscription.created": _SUBSCRIPTION,
    "customer.subscription.updated": _SUBSCRIPTION,
    "customer.subscription.deleted": _SUBSCRIPTION,
    "customer.subscription.paused": _SUBSCRIPTION,
    "customer.subscription.resumed": _SUBSCRIPTION,
    "customer.subscription.pending_update_applied": _SUBSCRIPTION,
    "customer.subscription.pending_update_expired": _SUBSCRIPTION,
    "invoice.paid": _INVOICE,
    "invoice.payment_succeeded": _INVOICE,
    "invoice.payment_failed": _INVOICE,
    "invoice.payment_action_required": _INVOICE,
    "invoice.voided": _INVOICE,
    "invoice.marked_uncollectible": _INVOICE,
    "invoice.finalization_failed": Handler(_unchanged, _apply_not_finalized),
    "customer.updated": Handler(_fetch_customer, _apply_cards),
    "payment_method.detached": _METHOD,
    "payment_method.updated": _METHOD,
    "payment_method.automatically_updated": _METHOD,
}
