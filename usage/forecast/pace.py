"""How fast an account spends, with its range, and what announced prices will make of it.

Invariants: days before the first use do not lower the pace; announced prices are those of published rate
cards, applied to the account's own newest charges.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from itertools import accumulate

from accounts.models import Account
from billing.models import Charge
from pricing.catalogue import cache as catalogue_cache
from usage.forecast.projection import Rate
from usage.repricing import price_simulation

WEEK = 7
FEWEST_DAYS = 14  # of use, for a range of weeks
REPRICED_CHARGES = 500
_CENT = Decimal("0.01")


@dataclass(frozen=True)
class Pace:
    """Credits spent per day: the mean, and the means of the quietest and the busiest week (or None)."""

    per_day: Decimal
    total: Decimal
    low: Decimal | None = None
    high: Decimal | None = None


def of(days: Sequence[tuple[date, Decimal]]) -> Pace:
    """The pace of consecutive days; the first day with use begins it."""
    spent = [credits for _day, credits in days]
    first = next((index for index, credits in enumerate(spent) if credits), len(spent))
    spent = spent[first:]
    total = sum(spent, Decimal(0))
    if not spent:
        return Pace(Decimal(0), total)
    per_day = (total / len(spent)).quantize(_CENT)
    if len(spent) < FEWEST_DAYS:
        return Pace(per_day, total)
    sums = [Decimal(0), *accumulate(spent)]
    weeks = [
        ((end - start) / WEEK).quantize(_CENT) for start, end in zip(sums[:-WEEK], sums[WEEK:], strict=True)
    ]
    return Pace(per_day, total, min(weeks), max(weeks))


@dataclass(frozen=True)
class PriceChange:
    """An announced rate card, and its price of the account's newest charges divided by the present one."""

    at: datetime
    version: str
    factor: Decimal

    @property
    def percent(self) -> Decimal:
        """The change in per cent, rounded to one decimal place."""
        return ((self.factor - 1) * 100).quantize(Decimal("0.1"))

    @property
    def saving(self) -> Decimal:
        """By how many per cent the charges cost less."""
        return -self.percent


def announced(account: Account, *, now: datetime, until: datetime) -> list[PriceChange]:
    """The price changes between now and `until` that concern the account's services, in order of time."""
    catalogue = catalogue_cache.current()
    cards = [card for card in catalogue.cards if now < card.effective_at <= until]
    if not cards:
        return []
    charges = list(
        Charge.objects.filter(account=account, covered_by=None)
        .order_by("-created_at")
        .values("service", "action", "credits", "hold_id", "detail")[:REPRICED_CHARGES]
    )
    present = catalogue.card_at(now)
    before = price_simulation.factor(charges, catalogue.rates(present)) if present else Decimal(1)
    if not before:
        return []
    changes: list[PriceChange] = []
    for card in cards:
        factor = price_simulation.factor(charges, catalogue.rates(card)) / before
        if factor != (changes[-1].factor if changes else 1):
            changes.append(PriceChange(card.effective_at, card.version, factor))
    return changes


def rates(per_day: Decimal, changes: Sequence[PriceChange], now: datetime) -> list[Rate]:
    """The pace from now on, changed by each announced card."""
    return [Rate(now, per_day), *(Rate(change.at, per_day * change.factor) for change in changes)]
