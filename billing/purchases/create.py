"""Create purchases of packs and plans, before any payment is requested.

Invariants: the server sets credits, price and currency from the catalogue at creation, and they never change
afterwards; an idempotency key creates one purchase; nothing here calls Stripe.
"""

import hashlib
import json
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import translation
from django.utils.translation import gettext as _

from accounts import erasure
from accounts.models import Account, User
from billing import offers, selectors
from billing.models import Purchase, Subscription
from billing.payments import taxes
from billing.promotions import redemption
from billing.subscriptions import lifecycle, plan_terms
from core import currencies
from core.amounts import LARGEST, plain
from core.errors import Refusal
from core.templatetags.money import money
from pricing.catalogue import texts

MAX_PACKS = 100


class PurchaseInvalid(Refusal):
    """An input of the purchase is not allowed; `field` names it."""

    status = 400

    def __init__(self, field: str, code: str, message: str) -> None:
        super().__init__(message)
        self.field, self.code = field, code


class PurchaseKeyReused(Refusal):
    """The idempotency key has already created a different purchase."""

    code, status = "idempotency_key_reused", 422

    def __init__(self) -> None:
        super().__init__(
            _(
                "This purchase was already submitted with other details. Reload the page, or send a new"
                " Idempotency-Key, and try again."
            )
        )


class PriceChanged(Refusal):
    """The price differs from the one shown to the buyer (a sale began or ended, the catalogue changed)."""

    code = "price_changed"

    def __init__(self) -> None:
        super().__init__(_("The price has changed. Review the new price and confirm it."))


class AlreadySubscribed(Refusal):
    """The account is on a paid plan, which is changed instead of buying a second subscription."""

    code = "already_subscribed"

    def __init__(self) -> None:
        super().__init__(
            _("This account is already on a paid plan. Change the plan on the Plans page instead.")
        )


class PlanPaymentPending(Refusal):
    """A plan was bought by a method that takes days, and its payment has not arrived yet."""

    code = "plan_payment_pending"

    def __init__(self) -> None:
        super().__init__(_("A payment for a plan is being processed. Wait until it has arrived or failed."))


class ConfirmationNeeded(Refusal):
    """Leaving a legacy plan cannot be undone, and the request does not confirm it."""

    code = "confirmation_required"
    field = "confirm"

    def __init__(self) -> None:
        super().__init__(
            _("You cannot return to your current plan after leaving it. Confirm that you want to leave it.")
        )


def order_of(
    account: Account, *, pack_key: str, quantity: int, currency: str, now: datetime
) -> offers.PackOffer:
    """The offer of so many packs, if the account can buy them. Raises as `pack_purchase`."""
    _require_quantity(quantity)
    offer = offers.get_pack(
        key=pack_key, currency=currency, paid_plan=selectors.has_paid_plan(account.pk), now=now
    )
    _require_grantable(offer.pack.credits * quantity)
    _require_chargeable(offer.amount * quantity, currency)
    return offer


def discount_of(account: Account, offer: offers.PackOffer, *, quantity: int, code: str, now: datetime) -> int:
    """The discount of a promotion code on so many packs, in minor units; 0 without a code.

    Nothing is redeemed. Raises redemption.CodeRefused.
    """
    if not code:
        return 0
    order = Purchase(
        account=account, offer=offer.key, amount=offer.amount * quantity, currency=offer.currency
    )
    return redemption.discount_of(order, code=code, now=now)


def pack_purchase(
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
    """Create a purchase of packs at the current price; the same `key` returns the same purchase.

    `shown`: the price of one pack shown to the buyer, in minor units; if it changed, nothing is created.
    Raises PurchaseInvalid, PurchaseKeyReused, PriceChanged, offers.UnknownOffer, offers.UnknownCurrency,
    offers.PaidPlanRequired, redemption.CodeRefused, erasure.AccountErased.
    """
    details = {"pack": pack_key, "quantity": quantity, "currency": currency, "code": promotion_code.upper()}
    if (existing := _existing(account, key, details)) is not None:
        return existing
    offer = order_of(account, pack_key=pack_key, quantity=quantity, currency=currency, now=now)
    if shown is not None and shown != offer.amount:
        raise PriceChanged
    with transaction.atomic():
        erasure.require_open(account.pk)
        purchase, created = Purchase.objects.get_or_create(
            account=account,
            idempotency_key=key,
            defaults={
                "buyer": buyer,
                "language": buyer.language if buyer else "",
                "kind": Purchase.Kind.PACK,
                "origin": origin,
                "offer": pack_key,
                "label": pack_label(offer, quantity),
                "quantity": quantity,
                "credits": offer.pack.credits * quantity,
                "lasts": offer.pack.lasts,
                "amount": offer.amount * quantity,
                "list_amount": offer.list_amount * quantity,
                "tax_behavior": taxes.behavior(),
                "currency": currency,
                "fingerprint": _fingerprint(details),
                "created_at": now,
            },
        )
        if created and promotion_code:
            redemption.apply_discount(purchase, code=promotion_code, now=now)
    return purchase if created else _matching(purchase, details)


def _require_quantity(quantity: int) -> None:
    if not 1 <= quantity <= MAX_PACKS:
        raise PurchaseInvalid(
            "quantity",
            "out_of_range",
            _("You can buy between 1 and %(most)s packs at once.") % {"most": MAX_PACKS},
        )


def _require_grantable(credits: Decimal) -> None:
    if credits > LARGEST:
        raise PurchaseInvalid(
            "quantity",
            "out_of_range",
            _("You can buy at most %(largest)s credits at once.") % {"largest": plain(LARGEST)},
        )


def _require_chargeable(amount: int, currency: str) -> None:
    if amount > currencies.maximum(currency):
        raise PurchaseInvalid(
            "quantity",
            "out_of_range",
            _("The largest possible payment is %(largest)s. Buy fewer packs at once.")
            % {"largest": money(currencies.maximum(currency), currency)},
        )


def plan_purchase(
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
    """Create the purchase of a plan; the subscription begins when its first invoice is paid.

    `shown` is the price shown to the buyer, in minor units; if it has changed, nothing is created.
    Raises PurchaseKeyReused, PriceChanged, AlreadySubscribed, PlanPaymentPending, ConfirmationNeeded,
    offers.UnknownOffer, offers.UnknownCurrency, offers.PlanClosed, erasure.AccountErased.
    """
    details = {"plan": plan_key, "interval": interval, "currency": currency}
    if (existing := _existing(account, key, details)) is not None:
        return existing
    plan, amount = offers.get_plan_price(key=plan_key, interval=interval, currency=currency)
    if shown is not None and shown != amount:
        raise PriceChanged
    with transaction.atomic():
        erasure.require_open(account.pk)
        _require_new_subscription(lifecycle.lock_subscription(account.pk), confirm)
        purchase, created = Purchase.objects.get_or_create(
            account=account,
            idempotency_key=key,
            defaults={
                "buyer": buyer,
                "language": buyer.language if buyer else "",
                "kind": Purchase.Kind.PLAN,
                "origin": origin,
                "offer": plan.key,
                "interval": interval,
                "label": plan.name,
                "amount": amount,
                "list_amount": amount,
                "tax_behavior": taxes.behavior(),
                "currency": currency,
                "fingerprint": _fingerprint(details),
                "created_at": now,
            },
        )
    return purchase if created else _matching(purchase, details)


def _require_new_subscription(subscription: Subscription, confirm: bool) -> None:
    _require_no_other_plan(subscription)
    if not confirm and plan_terms.get(subscription.account_id).legacy:
        raise ConfirmationNeeded


def require_payable(purchase: Purchase) -> None:
    """Raises AlreadySubscribed, PlanPaymentPending where a plan must not be paid any more."""
    if purchase.kind == Purchase.Kind.PLAN:
        _require_no_other_plan(Subscription.objects.get(account_id=purchase.account_id))


def _require_no_other_plan(subscription: Subscription) -> None:
    if subscription.paid:
        raise AlreadySubscribed
    if selectors.pending_plan(subscription.account_id) is not None:
        raise PlanPaymentPending


def pack_label(offer: offers.PackOffer, quantity: int) -> str:
    """The name on statements: the quantity, the name of the pack, and all credits unless that states them.

    It is stored, and so in English; pages and e-mails show it in the language of the reader.
    """
    credits = offer.pack.credits * quantity
    if quantity == 1 and plain(credits) in offer.pack.name.replace(",", "").split():
        return offer.pack.name
    with translation.override(settings.LANGUAGE_CODE):
        return texts.pack_label(offer.pack.name, credits, quantity)


def _existing(account: Account, key: str, details: dict[str, Any]) -> Purchase | None:
    """The purchase that this key has created, whatever the price is now. Raises PurchaseKeyReused."""
    purchase = Purchase.objects.filter(account=account, idempotency_key=key).first()
    return None if purchase is None else _matching(purchase, details)


def _matching(purchase: Purchase, details: dict[str, Any]) -> Purchase:
    if bytes(purchase.fingerprint) != _fingerprint(details):
        raise PurchaseKeyReused
    return purchase


def _fingerprint(details: dict[str, Any]) -> bytes:
    return hashlib.sha256(json.dumps(details, sort_keys=True).encode()).digest()
