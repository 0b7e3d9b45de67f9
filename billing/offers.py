"""Packs and plans on sale, and their prices.

Invariants: the server decides the price, whatever the client sends; a price is a whole number of minor units
of a currency of the catalogue; the saving shown is computed from the prices charged; a sale's price applies
from `starts_at` until before `ends_at`, and of several sales of a pack that of the one that began last.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.utils.translation import gettext as _

from core.currencies import to_major
from core.errors import Refusal
from pricing.catalogue import cache as catalogue_cache
from pricing.models import Pack, Plan, Sale


class PlanClosed(Refusal):
    """The plan is a legacy plan or is no longer offered."""

    code, status = "plan_closed", 403

    def __init__(self) -> None:
        super().__init__(_("This plan is no longer offered. See the Plans page for available plans."))


class UnknownOffer(Refusal):
    """The pack or plan does not exist or is not sold. `field` names the input."""

    status = 404
    codes = ("unknown_pack", "unknown_plan", "unknown_interval")

    def __init__(self, field: str) -> None:
        super().__init__(
            _("This plan or pack is not available. See the Plans page and the Buy credits page.")
        )
        self.field, self.code = field, f"unknown_{field}"


class UnknownCurrency(Refusal):
    """The offer has no price in this currency."""

    code, status, field = "unknown_currency", 400, "currency"

    def __init__(self, available: list[str]) -> None:
        super().__init__(
            _("There is no price in this currency. Available currencies: %(currencies)s.")
            % {"currencies": ", ".join(code.upper() for code in available)}
        )


class PaidPlanRequired(Refusal):
    """The pack is for accounts on a paid plan only."""

    code, status = "paid_plan_required", 403

    def __init__(self) -> None:
        super().__init__(_("You need a paid plan to buy packs. Choose a plan first."))


@dataclass(frozen=True, slots=True)
class PackOffer:
    """A pack with its price: `amount` is charged, `list_amount` is the price without a sale (minor units)."""

    pack: Pack
    currency: str
    amount: int
    list_amount: int
    sale: Sale | None
    each: Decimal  # major units for one credit
    saving_percent: int  # against the smallest pack's price of one credit, rounded down
    allowed: bool  # whether this account's plan may buy it

    @property
    def key(self) -> str:
        return self.pack.key


def currencies() -> list[str]:
    """The catalogue's currencies; the first is the default."""
    return list(catalogue_cache.current().currencies)


def resolve_currency(requested: str | None) -> str:
    """The requested currency, or the default one. Raises UnknownCurrency."""
    available = currencies()
    if not requested:
        return available[0] if available else "usd"
    if requested not in available:
        raise UnknownCurrency(available)
    return requested


def list_packs(*, currency: str, paid_plan: bool, now: datetime) -> list[PackOffer]:
    """All packs sold in the currency, in the catalogue's order."""
    packs = list(Pack.objects.filter(retired_at=None).order_by("position", "key"))
    sales = _sales_on(now)
    priced = [
        (pack, *_price(pack, sales.get(pack.pk), currency)) for pack in packs if currency in pack.prices
    ]
    if not priced:
        return []
    smallest = min(priced, key=lambda item: item[0].credits)
    base = to_major(smallest[1], currency) / smallest[0].credits
    return [
        PackOffer(
            pack=pack,
            currency=currency,
            amount=amount,
            list_amount=list_amount,
            sale=sale,
            each=(each := to_major(amount, currency) / pack.credits),
            saving_percent=max(0, int((1 - each / base) * 100)),
            allowed=paid_plan or not pack.paid_plans_only,
        )
        for pack, amount, list_amount, sale in priced
    ]


def get_pack(*, key: str, currency: str, paid_plan: bool, now: datetime) -> PackOffer:
    """The pack at its current price. Raises UnknownOffer, UnknownCurrency, PaidPlanRequired."""
    pack = Pack.objects.filter(key=key, retired_at=None).first()
    if pack is None:
        raise UnknownOffer("pack")
    found = [
        offer for offer in list_packs(currency=currency, paid_plan=paid_plan, now=now) if offer.key == key
    ]
    if not found:
        raise UnknownCurrency(sorted(pack.prices))
    if not found[0].allowed:
        raise PaidPlanRequired
    return found[0]


def _sales_on(now: datetime) -> dict[Any, Sale]:
    running = Sale.objects.filter(starts_at__lte=now, ends_at__gt=now)
    return {sale.pack_id: sale for sale in running.order_by("starts_at", "key")}


def _price(pack: Pack, sale: Sale | None, currency: str) -> tuple[int, int, Sale | None]:
    listed = int(pack.prices[currency])
    lowered = sale.price(currency) if sale is not None else None
    return (int(lowered), listed, sale) if lowered is not None else (listed, listed, None)


def get_plan_price(*, key: str, interval: str, currency: str) -> tuple[Plan, int]:
    """A plan that can be bought, and its price in minor units.

    Raises UnknownOffer, UnknownCurrency, PlanClosed.
    """
    plan = Plan.objects.filter(key=key).first()
    if plan is None:
        raise UnknownOffer("plan")
    if not plan.open_to_new_members:
        raise PlanClosed
    if not plan.paid:
        raise UnknownOffer("plan")
    if interval not in plan.prices:
        raise UnknownOffer("interval")
    if currency not in plan.prices[interval]:
        raise UnknownCurrency(sorted(plan.prices[interval]))
    return plan, int(plan.prices[interval][currency])
