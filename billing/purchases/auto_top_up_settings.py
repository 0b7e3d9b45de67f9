"""What an account wants of automatic top-up.

Invariants: the ceilings are never above what the catalogue allows; it can be switched on only for a pack that
this account could buy; changing the settings does not reset a month's count.
"""

from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.utils.translation import gettext as _

from accounts.models import User
from billing import offers, selectors
from billing.models import AutoTopUp
from pricing.catalogue import cache as catalogue_cache


class SettingsInvalid(Exception):
    """A setting that cannot be; `field` names it."""

    def __init__(self, field: str, code: str, message: str) -> None:
        super().__init__(message)
        self.field, self.code = field, code


def of(account_id: UUID) -> AutoTopUp:
    """The account's settings; unsaved defaults when it never had any."""
    return AutoTopUp.objects.filter(pk=account_id).first() or AutoTopUp(account_id=account_id)


def largest_count() -> int:
    """How many top-ups a month an account may choose; 0 where the product has no automatic top-up."""
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
    """Save the settings (amounts in minor units). Raises SettingsInvalid."""
    most = largest_count()
    if enabled:
        if most == 0:
            raise SettingsInvalid("enabled", "not_offered", _("Automatic top-up is not available."))
        if not 1 <= monthly_count <= most:
            words = _("Enter between 1 and %(most)s top-ups per month.") % {"most": most}
            raise SettingsInvalid("monthly_count", "out_of_range", words)
        price = _price(account_id, pack, currency, now)
        if monthly_amount < price:
            raise SettingsInvalid(
                "monthly_amount",
                "below_price",
                _("The monthly spending limit is lower than the price of one pack. Raise the limit."),
            )
    saved, _created = AutoTopUp.objects.update_or_create(
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
    return saved


def _price(account_id: UUID, pack: str, currency: str, now: datetime) -> int:
    paid_plan = selectors.has_paid_plan(account_id)
    try:
        return offers.pack(key=pack, currency=currency, paid_plan=paid_plan, now=now).amount
    except (offers.OfferGone, offers.PaidPlanNeeded) as refusal:
        raise SettingsInvalid("pack", refusal.code, str(refusal)) from refusal
    except offers.CurrencyUnknown as refusal:
        raise SettingsInvalid("currency", refusal.code, str(refusal)) from refusal
