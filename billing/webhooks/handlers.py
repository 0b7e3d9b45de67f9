"""What each type of event means: a fetch of what Stripe must be asked, then an application in a transaction.

Invariant: an application may come twice, late and in any order and ends in the same state; what cannot be
matched with an order of ours credits nothing and raises Quarantine.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.translation import gettext as _

from accounts.models import Account
from billing import stripe_gateway
from billing.models import Purchase
from billing.payments import cards, fulfilment, recovery
from billing.purchases import auto_top_up, checkout
from billing.stripe_gateway import Facts
from billing.subscriptions import stripe_sync
from billing.webhooks import refund_handlers


class Quarantine(Exception):
    """The event cannot be applied as it is: a person must look at it."""


@dataclass(frozen=True)
class Handler:
    """`fetch` may ask Stripe and runs outside a transaction; `apply` returns whether the event was for us."""

    fetch: Callable[[Facts], Any]
    apply: Callable[[Any, datetime], bool]


def handler_of(event_type: str) -> Handler | None:
    """How to treat a type of event; None: it does not concern us."""
    return _HANDLERS.get(event_type)


def _as_told(thing: Facts) -> Facts:
    return thing


# Checkout


def _fetch_checkout(session: Facts) -> tuple[Facts, Facts | stripe_sync.Answer | None]:
    """A setup session's card, a subscription, or, for an order that we do not know, Stripe's own answer."""
    if session.get("mode") == "setup":
        return session, cards.fetch_saved(session)
    if session.get("mode") == "subscription" and session.get("subscription"):
        return session, stripe_sync.ask(str(session["subscription"]))
    if _purchase_of(session) is None and "purchase" in (session.get("metadata") or {}):
        return stripe_gateway.checkout(str(session["id"])), None
    return session, None


def _apply_checkout(told: tuple[Facts, Facts | stripe_sync.Answer | None], now: datetime) -> bool:
    session, more = told
    if session.get("mode") == "setup":
        account = Account.with_public_id(str((session.get("metadata") or {}).get("account", "")))
        if account is not None and isinstance(more, dict):
            cards.keep(account.pk, more, now)
        return account is not None
    purchase = _purchase_of(session) or recovery.restore(session, now)
    if purchase is None:
        raise Quarantine(_("No purchase matches this Checkout session: %(id)s") % {"id": session.get("id")})
    _require_match(purchase, session)
    if isinstance(more, stripe_sync.Answer):
        stripe_sync.follow(more.facts, now, seen=more.seen)
    checkout.record(purchase, session, now)
    return True


def _apply_checkout_failed(session: Facts, now: datetime) -> bool:
    purchase = _purchase_of(session)
    if purchase is None:
        raise Quarantine(_("No purchase matches this Checkout session: %(id)s") % {"id": session.get("id")})
    _require_match(purchase, session)
    fulfilment.failed(purchase.pk, trouble=_("The payment failed."), now=now)
    return True


def _purchase_of(session: Facts) -> Purchase | None:
    found = Purchase.objects.filter(stripe_session_id=session.get("id") or "-").first()
    if found is not None:
        return found
    named = session.get("client_reference_id") or (session.get("metadata") or {}).get("purchase")
    order = Purchase.with_public_id(str(named or ""))
    # The order's page was made and its id not recorded (a crash in between): this session is that page.
    return order if order is not None and order.stripe_session_id is None else None


def _require_match(purchase: Purchase, session: Facts) -> None:
    named = (session.get("metadata") or {}).get("account")
    if named and named != purchase.account.public_id:
        raise Quarantine(
            _("The Checkout session belongs to another account than the purchase: %(account)s")
            % {"account": named}
        )
    if purchase.stripe_session_id is None:
        Purchase.objects.filter(pk=purchase.pk, stripe_session_id=None).update(
            stripe_session_id=session["id"]
        )


# Payments off-session (automatic top-up)


def _fetch_payment(intent: Facts) -> Facts:
    """A payment whose order our books have lost is believed only as Stripe itself tells it."""
    return stripe_gateway.payment(str(intent["id"])) if recovery.is_lost(intent) else intent


def _apply_payment(intent: Facts, now: datetime) -> bool:
    if recovery.is_lost(intent):
        recovery.restore_top_up(intent, now)
    return auto_top_up.follow(intent, now) is not None


def _apply_charge(charge: Facts, now: datetime) -> bool:
    """A charge brings the receipt and the way of paying; whether it was paid, the payment's news say."""
    named = str((charge.get("metadata") or {}).get("purchase", ""))
    rows = Purchase.objects.filter(stripe_payment_id=charge.get("payment_intent") or "-")
    purchase = rows.first() or Purchase.with_public_id(named)
    if purchase is None:
        return False
    method = str((charge.get("payment_method_details") or {}).get("type") or "")
    fulfilment.note_charge(purchase.pk, receipt_url=str(charge.get("receipt_url") or ""), method=method)
    return True


# Subscriptions: always what Stripe says now


def _fetch_subscription(subscription: Facts) -> stripe_sync.Answer:
    return stripe_sync.ask(str(subscription["id"]))


def _apply_subscription(subscription: stripe_sync.Answer, now: datetime) -> bool:
    stripe_sync.follow(subscription.facts, now, seen=subscription.seen)
    return True


def _fetch_invoice(invoice: Facts) -> tuple[Facts, stripe_sync.Answer] | None:
    subscription_id = stripe_sync.subscription_of_invoice(invoice)
    if subscription_id is None:
        return None
    subscription = stripe_sync.ask(subscription_id)
    return stripe_gateway.invoice(str(invoice["id"])), subscription


def _apply_invoice(told: tuple[Facts, stripe_sync.Answer] | None, now: datetime) -> bool:
    if told is None:
        return False
    invoice, subscription = told
    # In this order the wallet is locked before the invoice numbers, as when a pack is paid (no deadlock).
    stripe_sync.follow(subscription.facts, now, seen=subscription.seen)
    stripe_sync.record_invoice(invoice, subscription.facts, now)
    return True


# The customer's card


def _fetch_customer(customer: Facts) -> tuple[Facts, Facts | None]:
    return customer, stripe_gateway.default_card(str(customer["id"]))


def _apply_customer(told: tuple[Facts, Facts | None], now: datetime) -> bool:
    customer, card = told
    account = Account.with_public_id(str((customer.get("metadata") or {}).get("account", "")))
    if account is None or card is None:
        return False
    cards.keep(account.pk, card, now)
    return True


_CHECKOUT = Handler(_fetch_checkout, _apply_checkout)
_REFUND = Handler(refund_handlers.fetch_refund, refund_handlers.apply_refund)
_DISPUTE = Handler(refund_handlers.fetch_dispute, refund_handlers.apply_dispute)
_PAYMENT = Handler(_fetch_payment, _apply_payment)
_SUBSCRIPTION = Handler(_fetch_subscription, _apply_subscription)
_INVOICE = Handler(_fetch_invoice, _apply_invoice)

_HANDLERS: dict[str, Handler] = {
    "checkout.session.completed": _CHECKOUT,
    "checkout.session.async_payment_succeeded": _CHECKOUT,
    "checkout.session.async_payment_failed": Handler(_as_told, _apply_checkout_failed),
    "checkout.session.expired": _CHECKOUT,
    "payment_intent.succeeded": _PAYMENT,
    "payment_intent.payment_failed": _PAYMENT,
    "payment_intent.canceled": _PAYMENT,
    "refund.created": _REFUND,
    "refund.updated": _REFUND,
    "refund.failed": _REFUND,
    "charge.refund.updated": _REFUND,
    "charge.succeeded": Handler(_as_told, _apply_charge),
    "charge.updated": Handler(_as_told, _apply_charge),
    "charge.refunded": Handler(refund_handlers.fetch_charge, refund_handlers.apply_charge),
    "charge.dispute.created": _DISPUTE,
    "charge.dispute.updated": _DISPUTE,
    "charge.dispute.closed": _DISPUTE,
    "charge.dispute.funds_withdrawn": _DISPUTE,
    "charge.dispute.funds_reinstated": _DISPUTE,
    "customer.subscription.created": _SUBSCRIPTION,
    "customer.subscription.updated": _SUBSCRIPTION,
    "customer.subscription.deleted": _SUBSCRIPTION,
    "invoice.paid": _INVOICE,
    "invoice.payment_succeeded": _INVOICE,
    "invoice.payment_failed": _INVOICE,
    "invoice.payment_action_required": _INVOICE,
    "customer.updated": Handler(_fetch_customer, _apply_customer),
}
