"""The price history of a service: one period for consecutive cards with the same rate.

Invariant: periods are computed from published cards only, including future ones.
"""

from dataclasses import dataclass, replace
from datetime import datetime

from pricing.catalogue import cache as catalogue_cache
from pricing.rates.rate import Rate

MOST_CARDS = 50  # the newest; older ones are shown in the admin


@dataclass(frozen=True, slots=True)
class PricePeriod:
    """The rate of the service from `effective_at` on; None if it had none."""

    effective_at: datetime
    version: str
    rate: Rate | None
    future: bool
    in_force: bool = False


def price_periods(key: str, now: datetime) -> list[PricePeriod]:
    """Newest first. A card that does not change the service's rate begins no period."""
    catalogue = catalogue_cache.current()
    periods: list[PricePeriod] = []
    for card in catalogue.cards[-MOST_CARDS:]:
        rate = catalogue.rates(card).get(key)
        if (periods and _same(periods[-1].rate, rate)) or (not periods and rate is None):
            continue
        periods.append(PricePeriod(card.effective_at, card.version, rate, future=card.effective_at > now))
    current = next((index for index in reversed(range(len(periods))) if not periods[index].future), None)
    if current is not None:
        periods[current] = replace(periods[current], in_force=True)
    return periods[::-1]


def _same(rate: Rate | None, other: Rate | None) -> bool:
    if rate is None or other is None:
        return rate is other
    return replace(rate, version=other.version, effective_at=other.effective_at) == other
