"""The prices a service has had and will have: one period for each stretch of cards with the same rate.

Invariant: periods follow from published cards alone, the coming ones included.
"""

from dataclasses import dataclass, replace
from datetime import datetime

from pricing.catalogue import cache as catalogue_cache
from pricing.rates.rate import Rate

MOST_CARDS = 50  # the newest; older ones are in the admin


@dataclass(frozen=True, slots=True)
class PricePeriod:
    """From `effective_at` on the service costs this; `rate` None: it had no price."""

    effective_at: datetime
    version: str
    rate: Rate | None
    coming: bool
    in_force: bool = False


def price_periods(key: str, now: datetime) -> list[PricePeriod]:
    """Newest first. Cards that leave the service's price as it was begin no period."""
    known = catalogue_cache.current()
    periods: list[PricePeriod] = []
    for card in known.cards[-MOST_CARDS:]:
        rate = known.rates(card).get(key)
        if (periods and _same(periods[-1].rate, rate)) or (not periods and rate is None):
            continue
        periods.append(PricePeriod(card.effective_at, card.version, rate, coming=card.effective_at > now))
    present = next((place for place in reversed(range(len(periods))) if not periods[place].coming), None)
    if present is not None:
        periods[present] = replace(periods[present], in_force=True)
    return periods[::-1]


def _same(one: Rate | None, other: Rate | None) -> bool:
    if one is None or other is None:
        return one is other
    return replace(one, version=other.version, effective_at=other.effective_at) == other
