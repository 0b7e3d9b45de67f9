"""Orders: what somebody wants to buy, written down before any money is asked for.

Invariants: the server decides credits, price and currency from the catalogue at the moment of the order, and
the order never changes afterwards; the same key orders once; nothing here talks to Stripe.
"""

import hashlib
import json
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.models import Account, User
from billing import offers, selectors
from billing.models import Purchase, Subscription
from billing.promotions import redemption
from billing.subscriptions import lifecycle
from core.amounts import plain

MOST_PACKS = 100


class OrderInvalid(Exception):
    """Something in the order cannot be; `field` names it."""

    def __init__(self, field: str, code: str, message: str) -> None:
        super().__init__(message)
        self.field, self.code = field, code


class OrderKeyReused(Exception):
    """The key has already ordered something else."""

    code = "idempotency_key_reused"

    def __init__(self) -> None:
        super().__init__(_("This key was already used for another purchase. Reload the page and try again."))


class PriceChanged(Exception):
    """The price is not any more what the buyer was shown (a sale began or ended, the catalogue changed)."""

    code = "price_changed"

    def __init__(self) -> None:
        super().__init__(_("The price has changed. Review the new price and confirm it."))


class AlreadySubscribed(Exception):
    """The account pays for a plan already: a change of plan is no second subscription."""

    code = "already_subscribed"

    def __init__(self) -> None:
        super().__init__(
            _("This account is already on a paid plan. Change the plan on the Plans page instead.")
        )


class ConfirmationNeeded(Exception):
    """Leaving a legacy plan is for good, and nobody has said that this is understood."""

    code = "confirmation_required"
    field = "confirm"

    def __init__(self) -> None:
        super().__init__(
            _("You cannot return to your current plan after leaving it. Confirm that you want to leave it.")
        )


def order_pack(
    *,
    account: Account,
    buyer: User | None,
    origin: str,
    pack_key: str,
    quantity: int,
    currency: str,
    promotion_code: str = "",
    key: str,
    now: datetime,
    shown: int | None = None,
) -> Purchase:
    """Write down an order of packs at the price of this moment; the same key gives the same order.

    `shown` is the price of one pack that the buyer saw, in minor units: another one is not charged.
    Raises OrderInvalid, OrderKeyReused, PriceChanged, offers.OfferGone, offers.CurrencyUnknown,
    offers.PaidPlanNeeded and the refusals of promotions.
    """
    wanted = {"pack": pack_key, "quantity": quantity, "currency": currency, "code": promotion_code.upper()}
    if (known := _ordered(account, key, wanted)) is not None:
        return known
    if not 1 <= quantity <= MOST_PACKS:
        raise OrderInvalid(
            "quantity",
            "out_of_range",
            _("You can buy between 1 and %(most)s packs at once.") % {"most": MOST_PACKS},
        )
    offer = offers.pack(
        key=pack_key, currency=currency, paid_plan=selectors.has_paid_plan(account.pk), now=now
    )
    if shown is not None and shown != offer.amount:
        raise PriceChanged
    credits = offer.pack.credits * quantity
    with transaction.atomic():
        purchase, created = Purchase.objects.get_or_create(
            account=account,
            idempotency_key=key,
            defaults={
                "buyer": buyer,
                "kind": Purchase.Kind.PACK,
                "origin": origin,
                "offer": pack_key,
                "label": pack_label(offer, quantity),
                "quantity": quantity,
                "credits": credits,
                "lasts": offer.pack.lasts,
                "amount": offer.amount * quantity,
                "list_amount": offer.list_amount * quantity,
                "currency": currency,
                "fingerprint": _fingerprint(wanted),
                "created_at": now,
            },
        )
        if created and promotion_code:
            redemption.discount(purchase, code=promotion_code, now=now)
    return purchase if created else _same(purchase, wanted)


def order_plan(
    *,
    account: Account,
    buyer: User | None,
    origin: str,
    plan_key: str,
    interval: str,
    currency: str,
    confirm: bool,
    key: str,
    now: datetime,
    shown: int | None = None,
) -> Purchase:
    """Write down the wish to subscribe; the subscription begins when its first invoice is paid.

    `shown` is the price that the buyer saw, in minor units: another one is not charged.
    Raises OrderKeyReused, PriceChanged, AlreadySubscribed, ConfirmationNeeded, offers.OfferGone,
    offers.CurrencyUnknown.
    """
    wanted = {"plan": plan_key, "interval": interval, "currency": currency}
    if (known := _ordered(account, key, wanted)) is not None:
        return known
    plan, amount = offers.plan_to_buy(key=plan_key, interval=interval, currency=currency)
    if shown is not None and shown != amount:
        raise PriceChanged
    with transaction.atomic():
        present = lifecycle.locked(account.pk)
        _may_subscribe(present, confirm)
        purchase, created = Purchase.objects.get_or_create(
            account=account,
            idempotency_key=key,
            defaults={
                "buyer": buyer,
                "kind": Purchase.Kind.PLAN,
                "origin": origin,
                "offer": plan.key,
                "interval": interval,
                "label": plan.name,
                "amount": amount,
                "list_amount": amount,
                "currency": currency,
                "fingerprint": _fingerprint(wanted),
                "created_at": now,
            },
        )
    return purchase if created else _same(purchase, wanted)


def _may_subscribe(present: Subscription, confirm: bool) -> None:
    if present.paid:
        raise AlreadySubscribed
    if not confirm and selectors.plan_terms(present.account_id).legacy:
        raise ConfirmationNeeded


def pack_label(offer: offers.PackOffer, quantity: int) -> str:
    """How an order is called on statements: the pack's name, how many, and the credits of all."""
    words = ngettext(
        "%(name)s (%(credits)s credits)", "%(quantity)s × %(name)s (%(credits)s credits)", quantity
    )
    credits = plain(offer.pack.credits * quantity)
    return words % {"name": offer.pack.name, "credits": credits, "quantity": quantity}


def _ordered(account: Account, key: str, wanted: dict[str, Any]) -> Purchase | None:
    """What this key has already ordered: a price that changed meanwhile changes nothing."""
    found = Purchase.objects.filter(account=account, idempotency_key=key).first()
    return None if found is None else _same(found, wanted)


def _same(purchase: Purchase, wanted: dict[str, Any]) -> Purchase:
    if bytes(purchase.fingerprint) != _fingerprint(wanted):
        raise OrderKeyReused
    return purchase


def _fingerprint(wanted: dict[str, Any]) -> bytes:
    return hashlib.sha256(json.dumps(wanted, sort_keys=True).encode()).digest()
