"""How fast an account spends, with its range, and what announced prices will make of it.

Invariants: days before the first use do not lower the pace; announced prices are those of published rate
cards, applied to the account's own charges: the newest, and for a service that these lack the newest of each
day. A service counts by what it took in the last DAYS days.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from itertools import accumulate
from typing import Any

from accounts.models import Account
from billing.models import Charge
from pricing.catalogue import cache as catalogue_cache
from pricing.rates.rate import Rate as PricedRate
from usage import periods
from usage.dashboard import aggregates
from usage.forecast.projection import Rate
from usage.repricing import price_simulation

DAYS = 30  # of which the pace is the mean
WEEK = 7
FEWEST_DAYS = 14  # of use, for a range of weeks
REPRICED_CHARGES = 500
_CENT = Decimal("0.01")

Row = Mapping[str, Any]
"""A charge: service, action, credits, hold_id and detail."""


@dataclass(frozen=True)
class Pace:
    """Credits spent per day: the mean of `days` days, of the quietest and of the busiest week (or None)."""

    per_day: Decimal
    total: Decimal
    days: int = 0
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
        return Pace(per_day, total, len(spent))
    sums = [Decimal(0), *accumulate(spent)]
    weeks = [
        ((end - start) / WEEK).quantize(_CENT) for start, end in zip(sums[:-WEEK], sums[WEEK:], strict=True)
    ]
    return Pace(per_day, total, len(spent), min(weeks), max(weeks))


@dataclass(frozen=True)
class PriceChange:
    """An announced rate card, and its price of the account's use divided by the present one."""

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
    present = catalogue.card_at(now)
    if present is None:
        return []
    spent = _spent(account, now)
    charges = _charges_of(account, list(spent), now)
    before = _prices(charges, catalogue.rates(present))
    changes: list[PriceChange] = []
    for card in cards:
        after = _prices(charges, catalogue.rates(card))
        costs = [
            credits * (after[service] / before[service] if before[service] else 1)
            for service, credits in spent.items()
        ]
        factor = sum(costs, Decimal(0)) / sum(spent.values()) if spent else Decimal(1)
        change = PriceChange(card.effective_at, card.version, factor)
        if change.percent != (changes[-1].percent if changes else 0):
            changes.append(change)
    return changes


def _spent(account: Account, now: datetime) -> dict[str, Decimal]:
    """Credits spent on each service in the last DAYS days."""
    period = periods.latest_days(account, days=DAYS, now=now)
    groups = aggregates.group_totals(account, period, dimension="service")
    return {group.key: group.credits for group in groups if group.credits > 0}


def _charges_of(account: Account, services: Sequence[str], now: datetime) -> Mapping[str, list[Row]]:
    """Charges of each service."""
    columns = ("service", "action", "credits", "hold_id", "detail")
    charges = Charge.objects.filter(account=account, covered_by=None)
    rows = list(charges.order_by("-created_at").values(*columns)[:REPRICED_CHARGES])
    absent = set(services) - {row["service"] for row in rows}
    if absent:
        period = periods.latest_days(account, days=DAYS, now=now)
        newest = aggregates.newest_of_days(account, period, dimension="service", values=sorted(absent))
        rows += charges.filter(service__in=absent, created_at__in=newest).values(*columns)
    found: dict[str, list[Row]] = {service: [] for service in services}
    for row in rows:
        if row["service"] in found:
            found[row["service"]].append(row)
    return found


def _prices(charges: Mapping[str, list[Row]], by: Mapping[str, PricedRate]) -> dict[str, Decimal]:
    """What each service's charges would cost by these rates, as a part of what they cost."""
    return {service: price_simulation.factor(rows, by) for service, rows in charges.items()}


def rates(per_day: Decimal, changes: Sequence[PriceChange], now: datetime) -> list[Rate]:
    """The pace from now on, changed by each announced card."""
    return [Rate(now, per_day), *(Rate(change.at, per_day * change.factor) for change in changes)]
