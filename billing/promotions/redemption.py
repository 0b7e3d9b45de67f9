"""Promotion codes and campaigns: credits, or a pack made cheaper.

Invariants: the total and the account's limit are counted under the promotion's row lock, so they hold
whatever comes at once; an empty list of plans, packs or services means all of them; credits are given in the
transaction that counts the use; a discount whose order comes to nothing gives its use back, once.
"""

from datetime import datetime
from decimal import Decimal

from django.db import transaction
from django.db.models import F
from django.utils.translation import gettext as _

from accounts.models import Account
from billing import ledger, minor_units, validity
from billing.models import Promotion, Purchase, Redemption, Subscription
from pricing.catalogue import cache as catalogue_cache
from pricing.catalogue.policies import Promotion as Campaign


class CodeRefused(Exception):
    """The code gives nothing to this account now. `code` says why, for programs; the text, for people."""

    field = "code"

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def redeem(*, account: Account, code: str, now: datetime) -> Redemption:
    """Give a code's credits to an account. Raises CodeRefused."""
    sync_from_catalogue()
    with transaction.atomic():
        promotion = _usable(account, code, now)
        if promotion.gives != Promotion.Gives.CREDITS:
            raise CodeRefused(
                "code_is_discount", _("This is a discount code. Enter it when you buy credits.")
            )
        redemption = _use(promotion, account, None, promotion.credits, now)
        ledger.grant(
            account_id=account.pk,
            credits=promotion.credits,
            kind="promotion",
            label=promotion.label,
            key=f"redemption:{redemption.pk.hex}",
            expires_at=validity.ends_at(promotion.lasts, now),
            services=promotion.services or None,
            reason=promotion.code,
            now=now,
        )
    return redemption


def discount(purchase: Purchase, *, code: str, now: datetime) -> None:
    """Lower a fresh order's amount by a code, inside the order's transaction. Raises CodeRefused."""
    sync_from_catalogue()
    promotion = _usable(purchase.account, code, now)
    if promotion.gives != Promotion.Gives.DISCOUNT:
        raise CodeRefused("code_is_credits", _("This code gives credits. Redeem it on the Billing page."))
    if promotion.packs and purchase.offer not in promotion.packs:
        raise CodeRefused("code_not_for_pack", _("This code is not valid for this pack."))
    _use(promotion, purchase.account, purchase, Decimal(0), now)
    # The reduction is rounded down to a whole minor unit: never more off than the code says.
    off = purchase.amount * promotion.percent_off // 100
    purchase.amount -= minor_units.payable(off, purchase.currency)
    purchase.promotion_code = promotion.code
    purchase.save(update_fields=["amount", "promotion_code"])


def release(purchase: Purchase, now: datetime) -> None:
    """An order came to nothing: its use of a code can be used again. Safe to repeat."""
    uses = Redemption.objects.filter(purchase=purchase, released_at=None)
    if uses.update(released_at=now):
        Promotion.objects.filter(redemptions__purchase=purchase).update(redeemed=F("redeemed") - 1)


def sync_from_catalogue() -> None:
    """Write the catalogue's campaigns into the table that counts their uses."""
    for campaign in catalogue_cache.current().policies.promotions:
        Promotion.objects.get_or_create(code=campaign.code, defaults=_row(campaign))


def _row(campaign: Campaign) -> dict[str, object]:
    return {
        "label": campaign.label,
        "gives": Promotion.Gives.CREDITS,
        "credits": campaign.credits,
        "services": campaign.services,
        "lasts": campaign.lasts,
        "starts_at": campaign.starts_at,
        "ends_at": campaign.ends_at,
        "total_limit": campaign.most_redemptions,
        "from_catalogue": True,
    }


def _usable(account: Account, code: str, now: datetime) -> Promotion:
    """The promotion, locked until the transaction ends, if this account may use it now."""
    text = code.strip().upper()
    rows = Promotion.objects.select_for_update().filter(code=text)
    promotion = rows.first() if is_code(text) else None
    if promotion is None:
        raise CodeRefused("unknown_code", _("This code does not exist. Check the spelling."))
    if now < promotion.starts_at:
        raise CodeRefused("code_not_yet", _("This code is not valid yet."))
    if now >= promotion.ends_at:
        raise CodeRefused("code_expired", _("This code is no longer valid."))
    if promotion.total_limit is not None and promotion.redeemed >= promotion.total_limit:
        raise CodeRefused("code_used_up", _("This code has reached its maximum number of uses."))
    if _uses(promotion, account) >= promotion.per_account:
        raise CodeRefused("code_already_used", _("This account has already used this code."))
    if promotion.plans:
        plan = Subscription.objects.filter(account=account).values_list("plan", flat=True).first()
        if plan not in promotion.plans:
            raise CodeRefused("code_not_for_plan", _("This code is not valid for your plan."))
    return promotion


def is_code(text: str) -> bool:
    """Whether a text could be a code at all (and may be sent to the database)."""
    return text.isascii() and text.isprintable() and 0 < len(text) <= 40


def _uses(promotion: Promotion, account: Account) -> int:
    return Redemption.objects.filter(promotion=promotion, account=account, released_at=None).count()


def _use(
    promotion: Promotion, account: Account, purchase: Purchase | None, credits: Decimal, now: datetime
) -> Redemption:
    taken = Redemption.objects.filter(promotion=promotion, account=account, released_at=None)
    nths = set(taken.values_list("nth", flat=True))
    nth = next(n for n in range(1, len(nths) + 2) if n not in nths)
    redemption = Redemption.objects.create(
        promotion=promotion, account=account, nth=nth, purchase=purchase, credits=credits, created_at=now
    )
    Promotion.objects.filter(pk=promotion.pk).update(redeemed=F("redeemed") + 1)
    return redemption
