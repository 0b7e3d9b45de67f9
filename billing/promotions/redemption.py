"""Promotion codes: grant credits or discount a pack.

Invariants: the total limit, the account's limit and the use of a code for one use are counted under the
promotion's row lock, so they hold under concurrency; an empty list of plans, packs or services means all of
them; credits are granted in the transaction that counts the use; the use of a discount is released when its
purchase fails or is cancelled, and counted again when that purchase is paid after all. Only such payments
can exceed the total limit.
Lock order: purchase, promotion, wallet.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import ClassVar

from django.db import transaction
from django.db.models import F, QuerySet
from django.utils.translation import gettext as _

from accounts.models import Account
from billing import ledger, validity
from billing.models import Promotion, Purchase, Redemption, SingleUseCode, Subscription
from core import currencies
from core.errors import Refusal
from core.templatetags.money import money
from pricing.catalogue import cache as catalogue_cache
from pricing.catalogue.policies import Promotion as CataloguePromotion


@dataclass(frozen=True, slots=True)
class _Locked:
    """A promotion whose row is locked, and the code for one use by which it was found."""

    promotion: Promotion
    single_use: SingleUseCode | None


class CodeRefused(Refusal):
    """The code cannot be used by this account now."""

    field = "code"
    codes: ClassVar[tuple[str, ...]] = (
        "code_is_discount",
        "code_is_credits",
        "code_not_for_pack",
        "code_below_minimum",
        "code_not_yet",
        "code_expired",
        "code_used_up",
        "code_already_used",
        "code_not_for_plan",
        "own_invitation",
        "not_new",
        "already_invited",
    )

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class UnknownCode(CodeRefused):
    """No code has this spelling."""

    code, status = "unknown_code", 404
    codes = ("unknown_code",)

    def __init__(self) -> None:
        super().__init__(self.code, _("This code does not exist. Check the spelling."))


class BalanceTooLarge(CodeRefused):
    """The credits of the code would raise the balance above the largest one."""

    code = "balance_too_large"
    codes = ("balance_too_large",)

    def __init__(self, error: ledger.BalanceTooLarge) -> None:
        super().__init__(error.code, error.detail())
        self.error = error

    def extra(self) -> ledger.LargestBalance:
        return self.error.extra()


def redeem(*, account: Account, code: str, now: datetime) -> Redemption:
    """Grant a code's credits to an account. Raises CodeRefused."""
    sync_from_catalogue()
    with transaction.atomic():
        usable = _lock_usable(account, code, now)
        promotion = usable.promotion
        if promotion.gives != Promotion.Gives.CREDITS:
            raise CodeRefused(
                "code_is_discount", _("This is a discount code. Enter it when you buy credits.")
            )
        redemption = _record_use(usable, account, None, promotion.credits, now)
        try:
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
        except ledger.BalanceTooLarge as error:
            raise BalanceTooLarge(error) from error
    return redemption


def apply_discount(purchase: Purchase, *, code: str, now: datetime) -> None:
    """Lower a new purchase's amount by a code, in the transaction that creates it. Raises CodeRefused."""
    usable, discount = _lock_discount(purchase, code, now)
    _record_use(usable, purchase.account, purchase, Decimal(0), now)
    purchase.amount -= discount
    purchase.promotion_code = usable.promotion.code
    purchase.save(update_fields=["amount", "promotion_code"])


def discount_of(order: Purchase, *, code: str, now: datetime) -> int:
    """Minor units by which a code lowers the amount of a purchase that is not saved. Raises CodeRefused."""
    with transaction.atomic():
        _usable, discount = _lock_discount(order, code, now)
    return discount


def _lock_discount(order: Purchase, code: str, now: datetime) -> tuple[_Locked, int]:
    """The promotion with its row locked, and its discount in minor units. Raises CodeRefused."""
    sync_from_catalogue()
    usable = _lock_usable(order.account, code, now)
    promotion = usable.promotion
    if promotion.gives != Promotion.Gives.DISCOUNT:
        raise CodeRefused("code_is_credits", _("This code gives credits. Redeem it on the Billing page."))
    if promotion.packs and order.offer not in promotion.packs:
        raise CodeRefused("code_not_for_pack", _("This code is not valid for this pack."))
    # Rounded down to what can be charged: never a higher discount than the code states.
    discount = currencies.payable(order.amount * promotion.percent_off // 100, order.currency)
    _require_chargeable(order.amount - discount, order.currency, promotion)
    return usable, discount


def _require_chargeable(amount: int, currency: str, promotion: Promotion) -> None:
    """A discounted amount is zero, which needs no payment page, or at least Stripe's minimum."""
    minimum = currencies.minimum(currency)
    if 0 < amount < minimum:
        raise CodeRefused(
            "code_below_minimum",
            _(
                "With the code %(code)s you would pay %(amount)s. The smallest possible payment is"
                " %(minimum)s. Buy more credits, or continue without the code."
            )
            % {
                "code": promotion.code,
                "amount": money(amount, currency),
                "minimum": money(minimum, currency),
            },
        )


def release_discount(purchase: Purchase, now: datetime) -> None:
    """Release the use of a code by a purchase that failed or was cancelled. Safe to repeat."""
    uses = Redemption.objects.filter(purchase=purchase, released_at=None)
    if uses.update(released_at=now):
        Promotion.objects.filter(redemptions__purchase=purchase).update(redeemed=F("redeemed") - 1)


def recount_discount(purchase: Purchase) -> None:
    """Count a released use again: the purchase is paid, or being paid, after it had failed or was cancelled.

    The discounted price was paid, so the use counts even when others have used up the limits meanwhile. The
    purchase is locked, and no wallet yet. Safe to repeat.
    """
    if not purchase.promotion_code:
        return
    use = Redemption.objects.filter(purchase=purchase).exclude(released_at=None).first()
    if use is None:
        return
    promotion = Promotion.objects.select_for_update(no_key=True).get(pk=use.promotion_id)
    use.nth, use.released_at = _next_nth(promotion, purchase.account), None
    if use.single_use_code_id and _uses_of(use.single_use_code_id).exists():
        use.single_use_code = None  # its code was redeemed by somebody else meanwhile
    use.save(update_fields=["nth", "released_at", "single_use_code"])
    Promotion.objects.filter(pk=promotion.pk).update(redeemed=F("redeemed") + 1)


def sync_from_catalogue() -> None:
    """Create the catalogue's promotions in the table that counts their uses."""
    for promotion in catalogue_cache.current().policies.promotions:
        Promotion.objects.get_or_create(code=promotion.code, defaults=_fields_of(promotion))


def _fields_of(promotion: CataloguePromotion) -> dict[str, object]:
    return {
        "label": promotion.label,
        "gives": Promotion.Gives.CREDITS,
        "credits": promotion.credits,
        "services": promotion.services,
        "lasts": promotion.lasts,
        "starts_at": promotion.starts_at,
        "ends_at": promotion.ends_at,
        "total_limit": promotion.most_redemptions,
        "from_catalogue": True,
    }


def _lock_usable(account: Account, code: str, now: datetime) -> _Locked:
    """The promotion with its row locked. Raises CodeRefused if the account cannot use it now."""
    text = code.strip().upper()
    usable = _lock(text) if is_code(text) else None
    if usable is None:
        raise UnknownCode
    promotion = usable.promotion
    if now < promotion.starts_at:
        raise CodeRefused("code_not_yet", _("This code is not valid yet."))
    if now >= promotion.ends_at:
        raise CodeRefused("code_expired", _("This code is no longer valid."))
    full = promotion.total_limit is not None and promotion.redeemed >= promotion.total_limit
    if full or (usable.single_use and _uses_of(usable.single_use.pk).exists()):
        raise CodeRefused("code_used_up", _("This code has reached its maximum number of uses."))
    if _active_uses(promotion, account).count() >= promotion.per_account:
        raise CodeRefused("code_already_used", _("This account has already used this code."))
    if promotion.plans:
        plan = Subscription.objects.filter(account=account).values_list("plan", flat=True).first()
        if plan not in promotion.plans:
            raise CodeRefused("code_not_for_plan", _("This code is not valid for your plan."))
    return usable


def _lock(text: str) -> _Locked | None:
    """The promotion of this code, or of this code for one use. Which of them is valid, the promotion says."""
    promotions = Promotion.objects.select_for_update(no_key=True)
    promotion = promotions.filter(code=text, single_use=False).first()
    if promotion is not None:
        return _Locked(promotion, None)
    single_use = SingleUseCode.objects.filter(code=text).first()
    if single_use is None:
        return None
    promotion = promotions.filter(pk=single_use.promotion_id, single_use=True).first()
    return _Locked(promotion, single_use) if promotion else None


def is_code(text: str) -> bool:
    """Whether a text has the form of a code and can be looked up in the database."""
    return text.isascii() and text.isprintable() and 0 < len(text) <= 40


def _active_uses(promotion: Promotion, account: Account) -> QuerySet[Redemption]:
    return Redemption.objects.filter(promotion=promotion, account=account, released_at=None)


def _uses_of(single_use_code_id: int) -> QuerySet[Redemption]:
    """The redemption of a code for one use that counts."""
    return Redemption.objects.filter(single_use_code=single_use_code_id, released_at=None)


def _next_nth(promotion: Promotion, account: Account) -> int:
    """The lowest free number of a use by the account; the promotion is locked."""
    nths = set(_active_uses(promotion, account).values_list("nth", flat=True))
    return next(n for n in range(1, len(nths) + 2) if n not in nths)


def _record_use(
    usable: _Locked, account: Account, purchase: Purchase | None, credits: Decimal, now: datetime
) -> Redemption:
    promotion = usable.promotion
    redemption = Redemption.objects.create(
        promotion=promotion,
        single_use_code=usable.single_use,
        account=account,
        nth=_next_nth(promotion, account),
        purchase=purchase,
        credits=credits,
        created_at=now,
    )
    Promotion.objects.filter(pk=promotion.pk).update(redeemed=F("redeemed") + 1)
    return redemption
