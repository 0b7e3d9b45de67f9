"""Read-only queries of services with their rates, plans and packs.

Invariant: services and rates come from the process's cache and so agree with what a charge
at the same moment would take.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from pricing.catalogue import cache as catalogue_cache
from pricing.catalogue.cache import ServiceFacts
from pricing.lookup import UnknownService
from pricing.models import Plan
from pricing.rates.rate import Rate


@dataclass(frozen=True, slots=True)
class PricedService:
    """A service with its rate in force; None if it cannot be charged now."""

    facts: ServiceFacts
    rate: Rate | None


def service_by_key(key: str, now: datetime) -> PricedService:
    """A service, including retired ones, which the history shows. Raises UnknownService."""
    catalogue = catalogue_cache.current()
    facts = catalogue.services.get(key)
    if facts is None:
        raise UnknownService(key, "service")
    return PricedService(facts, _rates(catalogue, now).get(key))


def services(
    *, now: datetime, text: str = "", modality: str = "", tier: str = "", tag: str = "", kind: str = ""
) -> list[PricedService]:
    """The price list in catalogue order, filtered by every value that is not empty."""
    catalogue = catalogue_cache.current()
    rates = _rates(catalogue, now)
    words = text.casefold().split()
    return [
        PricedService(facts, rates.get(facts.key))
        for facts in catalogue.services.values()
        if not facts.retired
        and modality in ("", facts.modality)
        and tier in ("", facts.tier)
        and kind in ("", facts.kind)
        and (not tag or tag in facts.tags)
        and all(word in _searched(facts) for word in words)
    ]


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
    return f"{facts.name} {facts.key} {facts.best_for} {' '.join(facts.tags)}".casefold()


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


def plans() -> list[Plan]:
    """All plans that are not retired, including legacy ones, by rank."""
    return list(Plan.objects.filter(retired_at=None).order_by("position"))


def free_plan() -> Plan | None:
    """The plan of every new account."""
    return Plan.objects.filter(free=True, retired_at=None).first()
