"""Read-only queries of services with their rates, plans and packs.

Invariant: services and rates come from the process's cache and so agree with what a charge
at the same moment would take.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from pricing.catalogue import cache as catalogue_cache
from pricing.catalogue import texts
from pricing.catalogue.cache import ServiceFacts
from pricing.catalogue.policies import Tier
from pricing.lookup import UnknownService
from pricing.models import Plan
from pricing.rates import quotes
from pricing.rates.meters import OPTIONAL
from pricing.rates.rate import Option, Rate


@dataclass(frozen=True, slots=True)
class PricedService:
    """A service with its rate in force; None if it cannot be charged now.

    `lowest`: the price of the cheapest model, for an action that costs what its model costs.
    """

    facts: ServiceFacts
    rate: Rate | None
    lowest: Decimal | None = None


def service_by_key(key: str, now: datetime) -> PricedService:
    """A service, including retired ones, which the history shows. Raises UnknownService."""
    catalogue = catalogue_cache.current()
    facts = catalogue.services.get(key)
    if facts is None:
        raise UnknownService(key, "service")
    return _priced(catalogue, [facts], now)[0]


def services(
    *, now: datetime, text: str = "", modality: str = "", tier: str = "", tag: str = "", kind: str = ""
) -> list[PricedService]:
    """The price list in catalogue order, filtered by every value that is not empty."""
    catalogue = catalogue_cache.current()
    words = text.casefold().split()
    found = [
        facts
        for facts in catalogue.services.values()
        if not facts.retired
        and modality in ("", facts.modality)
        and tier in ("", facts.tier)
        and kind in ("", facts.kind)
        and (not tag or tag in facts.tags)
        and all(word in _searched(facts) for word in words)
    ]
    return _priced(catalogue, found, now)


def scopes() -> set[str]:
    """What a grant can be limited to: keys of services and `tag:…` of their tags; no retired services."""
    services = catalogue_cache.current().services.values()
    return {name for facts in services if not facts.retired for name in facts.covers}


def by_kind(services: Sequence[PricedService]) -> list[tuple[str, str, list[PricedService]]]:
    """Services grouped by (kind, modality), models before actions, in catalogue order."""
    parts: dict[tuple[str, str], list[PricedService]] = {}
    for service in services:
        parts.setdefault((service.facts.kind, service.facts.modality), []).append(service)
    ordered = sorted(
        parts.items(), key=lambda part: part[0][0] != "model"
    )  # stable: keeps the catalogue order
    return [(kind, modality, found) for (kind, modality), found in ordered]


def _searched(facts: ServiceFacts) -> str:
    own = (facts.name, facts.best_for, *facts.tags)
    return " ".join([facts.key, *own, *(texts.translated(text) for text in own)]).casefold()


def _priced(
    catalogue: catalogue_cache.LoadedCatalogue, found: Sequence[ServiceFacts], now: datetime
) -> list[PricedService]:
    rates = _rates(catalogue, now)
    lowest: dict[str, Decimal | None] = {}
    priced = []
    for facts in found:
        rate = rates.get(facts.key)
        if rate is not None and rate.cost_of_model:
            if facts.modality not in lowest:
                lowest[facts.modality] = _lowest_of_models(catalogue, rates, facts.modality)
            priced.append(PricedService(facts, rate, lowest[facts.modality]))
        else:
            priced.append(PricedService(facts, rate))
    return priced


def _lowest_of_models(
    catalogue: catalogue_cache.LoadedCatalogue, rates: Mapping[str, Rate], modality: str
) -> Decimal | None:
    """The lowest price of one image, second or other unit among the models of a modality."""
    models = (
        facts
        for facts in catalogue.services.values()
        if facts.kind == "model" and facts.modality == modality and not facts.retired and facts.key in rates
    )
    return min((price_of_unit(rates[facts.key]) for facts in models), default=None)


def price_of_unit(rate: Rate) -> Decimal:
    """The credits of the smallest quantities that the price list names: one image, 5,000 tokens."""
    return quotes.quote(rate, unit_usage(rate)).credits


def unit_usage(rate: Rate) -> dict[str, int]:
    """A use of the smallest quantities that the price list names."""
    needed = [line for line in rate.lines if line.meter not in OPTIONAL]
    return {line.meter: line.per for line in needed or rate.lines}


def _rates(catalogue: catalogue_cache.LoadedCatalogue, now: datetime) -> Mapping[str, Rate]:
    card = catalogue.card_at(now)
    return catalogue.rates(card) if card else {}


@dataclass(frozen=True, slots=True)
class Filters:
    """The filter values that occur in the price list, in catalogue order."""

    modalities: list[str]
    tiers: list[str]
    tags: list[str]


def filters() -> Filters:
    services = [facts for facts in catalogue_cache.current().services.values() if not facts.retired]
    return Filters(
        modalities=list(dict.fromkeys(facts.modality for facts in services)),
        tiers=list(dict.fromkeys(facts.tier for facts in services if facts.tier)),
        tags=list(dict.fromkeys(tag for facts in services for tag in facts.tags)),
    )


def example_use(now: datetime) -> tuple[PricedService, dict[str, int]] | None:
    """The cheapest use of a model, or else of an action, that costs something; None without one."""
    priced = [service for service in services(now=now) if service.rate and not service.rate.cost_of_model]
    costs = {service.facts.key: price_of_unit(service.rate) for service in priced if service.rate}
    found = min(
        (service for service in priced if costs[service.facts.key] > 0),
        key=lambda service: (service.facts.kind != "model", costs[service.facts.key]),
        default=None,
    )
    return (found, unit_usage(found.rate)) if found and found.rate else None


@dataclass(frozen=True, slots=True)
class PriceNotes:
    """What the price list explains: options by name, ranges of tiers, multipliers, the mark "*"."""

    options: dict[str, Option]
    tiers: Sequence[Tier]
    has_multipliers: bool
    has_marks: bool


def price_notes(now: datetime) -> PriceNotes:
    catalogue = catalogue_cache.current()
    rates = _rates(catalogue, now)
    offered = [rates[key] for key, facts in catalogue.services.items() if not facts.retired and key in rates]
    return PriceNotes(
        options={name: option for rate in offered for name, option in rate.options.items()},
        tiers=catalogue.wording.tiers if catalogue.wording else [],
        has_multipliers=any(rate.multiplier != 1 for rate in offered),
        has_marks=any(rate.cost_of_model for rate in offered),
    )


def plans() -> list[Plan]:
    """All plans that are not retired, including legacy ones, by rank."""
    return list(Plan.objects.filter(retired_at=None).order_by("position"))


def free_plan() -> Plan | None:
    """The plan of every new account."""
    return Plan.objects.filter(free=True, retired_at=None).first()
