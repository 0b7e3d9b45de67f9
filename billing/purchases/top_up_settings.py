"""Settings of automatic top-up: what may be bought, when, and at most how much in a month.

Invariants: the limits never exceed the catalogue's; the monthly amount is counted for each currency, so that
amounts of two currencies are never added; it is switched on only with a card that can be charged, and a
threshold that one pack restores.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.db.models import Q, Sum
from django.utils.translation import gettext as _

from accounts.models import User
from billing import offers, selectors, validity
from billing.models import AutoTopUp, Purchase
from billing.payments import cards
from core.errors import Refusal
from pricing.catalogue import cache as catalogue_cache


class SettingsInvalid(Refusal):
    """A setting is not allowed; `field` names it."""

    status = 400

    def __init__(self, field: str, code: str, message: str) -> None:
        super().__init__(message)
        self.field, self.code = field, code


@dataclass(frozen=True)
class Consent:
    """What the saved settings allow to be charged, for the page."""

    offer: offers.PackOffer
    most: int  # minor units in a calendar month, of the settings' currency


def get(account_id: UUID) -> AutoTopUp:
    """The account's settings; unsaved defaults if it has none."""
    return AutoTopUp.objects.filter(pk=account_id).first() or AutoTopUp(account_id=account_id)


def max_monthly_count() -> int:
    """The catalogue's limit of top-ups per month; 0 when automatic top-up is not offered."""
    policy = catalogue_cache.current().policies.auto_top_up
    return policy.largest_monthly_packs if policy else 0


def change(
    *,
    account_id: UUID,
    enabled: bool,
    below: Decimal,
    pack: str,
    currency: str,
    monthly_amount: int,
    monthly_count: int,
    user: User | None,
    now: datetime,
) -> AutoTopUp:
    """Save the settings: buy when fewer than `below` credits are available, spend at most `monthly_amount`.

    `monthly_amount` is in minor units. The purchases of the current month keep counting. Raises
    SettingsInvalid.
    """
    if enabled and not pack:
        raise SettingsInvalid("pack", "required", _("Choose the pack that is bought automatically."))
    if pack:
        offer = _offer_of(account_id, pack, currency, now)
    if enabled:
        _require_card(account_id, now)
        _require_limits(offer, below, monthly_amount, monthly_count)
    settings, _created = AutoTopUp.objects.update_or_create(
        account_id=account_id,
        defaults={
            "enabled": enabled,
            "below": below,
            "pack": pack,
            "currency": currency,
            "monthly_amount": monthly_amount,
            "monthly_count": monthly_count,
            "set_by": user,
        },
    )
    return settings


def resume(account_id: UUID, now: datetime) -> AutoTopUp:
    """End the pause after failures, so that the saved card is charged again. Raises SettingsInvalid."""
    settings = get(account_id)
    if not settings.enabled:
        raise SettingsInvalid(
            "enabled", "off", _("Automatic top-up is off. Only the account switches it on.")
        )
    _require_card(account_id, now)
    cards.end_pause(account_id)
    return get(account_id)


def spent_this_month(account_id: UUID, currency: str, now: datetime) -> tuple[int, int]:
    """Minor units of this currency, and number in all currencies, of this month's automatic top-ups.

    The month is the calendar month. Payments in progress count.
    """
    purchases = Purchase.objects.filter(
        account_id=account_id, origin=Purchase.Origin.AUTO_TOP_UP, created_at__gte=validity.month_of(now)
    ).exclude(status__in=[Purchase.Status.FAILED, Purchase.Status.CANCELLED])
    return purchases.aggregate(sum=Sum("amount", filter=Q(currency=currency)))["sum"] or 0, purchases.count()


def consent(settings: AutoTopUp, now: datetime) -> Consent | None:
    """What may be charged; None when automatic top-up is off or its pack is not sold."""
    if not settings.enabled:
        return None
    try:
        offer = _offer_of(settings.pk, settings.pack, settings.currency, now)
    except SettingsInvalid:
        return None
    return Consent(offer, min(settings.monthly_amount, offer.amount * settings.monthly_count))


def _require_card(account_id: UUID, now: datetime) -> None:
    profile = selectors.profile_of(account_id)
    if not profile.card_id:
        message = _("Save a card before you switch on automatic top-up.")
        raise SettingsInvalid("enabled", "no_card", message)
    if profile.card_has_expired(now):
        message = _("The saved card has expired. Save another card before you switch on automatic top-up.")
        raise SettingsInvalid("enabled", "card_expired", message)


def _require_limits(offer: offers.PackOffer, below: Decimal, monthly_amount: int, monthly_count: int) -> None:
    limit = max_monthly_count()
    if limit == 0:
        raise SettingsInvalid("enabled", "not_offered", _("Automatic top-up is not available."))
    if not 1 <= monthly_count <= limit:
        message = _("Enter between 1 and %(most)s top-ups per month.") % {"most": limit}
        raise SettingsInvalid("monthly_count", "out_of_range", message)
    if below > offer.pack.credits:
        raise SettingsInvalid(
            "below",
            "above_pack",
            _(
                "The threshold is higher than the credits of one pack, so a top-up would be followed by"
                " another at once. Enter at most %(credits)s, or choose a larger pack."
            )
            % {"credits": f"{offer.pack.credits.normalize():f}"},
        )
    if monthly_amount < offer.amount:
        raise SettingsInvalid(
            "monthly_amount",
            "below_price",
            _("The monthly spending limit is lower than the price of one pack. Raise the limit."),
        )


def _offer_of(account_id: UUID, pack: str, currency: str, now: datetime) -> offers.PackOffer:
    paid_plan = selectors.has_paid_plan(account_id)
    try:
        return offers.get_pack(key=pack, currency=currency, paid_plan=paid_plan, now=now)
    except offers.UnknownOffer as error:
        raise SettingsInvalid("pack", "unknown_offer", str(error)) from error
    except offers.PaidPlanRequired as error:
        raise SettingsInvalid("pack", error.code, str(error)) from error
    except offers.UnknownCurrency as error:
        raise SettingsInvalid("currency", error.code, str(error)) from error
