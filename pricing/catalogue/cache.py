"""The cache of the catalogue in each process: services, cards and rates, without a query per charge.

Invariant: a process never uses a catalogue that changed more than a second ago: it reads the catalogue's
stamp once a second, and immediately after its own changes. Rates of a published card never change, so they
are kept until the stamp changes.
"""

import threading
import uuid
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from django.db import transaction

from core.caches import TimedCache
from pricing import models
from pricing.catalogue.policies import Brand, Policies, Wording
from pricing.rates.rate import Rate, lines_from_json, options_from_json

_CHECK_EVERY_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class ServiceFacts:
    """A service without its price."""

    key: str
    name: str
    kind: str
    modality: str
    tags: tuple[str, ...]
    tier: str
    speed: str
    usage_class: str
    best_for: str
    providers: tuple[str, ...]
    quota: str
    at_expiry: str
    position: int
    retired: bool
    covers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CardHead:
    """A published card without its rates."""

    id: uuid.UUID
    version: str
    effective_at: datetime


@dataclass(slots=True)
class LoadedCatalogue:
    """One consistent state of the catalogue. Shared by threads; only `_rates` grows."""

    stamp: uuid.UUID | None
    key: str
    currencies: tuple[str, ...]
    brand: Brand | None
    wording: Wording | None
    policies: Policies
    has_plans_to_compare: bool
    services: Mapping[str, ServiceFacts]
    cards: tuple[CardHead, ...]
    translations: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    _rates: dict[uuid.UUID, Mapping[str, Rate]] = field(default_factory=dict)

    def card_at(self, now: datetime) -> CardHead | None:
        """The newest published card that is in effect at `now`."""
        index = bisect_right(self.cards, now, key=lambda card: card.effective_at)
        return self.cards[index - 1] if index else None

    def card_of_version(self, version: str) -> CardHead | None:
        return next((card for card in self.cards if card.version == version), None)

    def rates(self, card: CardHead) -> Mapping[str, Rate]:
        """The card's rates by service key; read once."""
        rates = self._rates.get(card.id)
        if rates is None:
            rates = self._rates[card.id] = rates_of(card.id)
        return rates


_lock = threading.Lock()
_catalogue: LoadedCatalogue | None = None
_checked: TimedCache[str, LoadedCatalogue] = TimedCache(seconds=_CHECK_EVERY_SECONDS, max_entries=1)


def current() -> LoadedCatalogue:
    """The current catalogue, at most a second old."""
    return _checked.get_or_load("catalogue", _read_if_changed)


def _read_if_changed(_key: str) -> LoadedCatalogue:
    global _catalogue
    with _lock:
        stamp = models.Catalogue.objects.values_list("stamp", flat=True).first()
        if _catalogue is None or _catalogue.stamp != stamp:
            _catalogue = _read()
        return _catalogue


def brand_name() -> str:
    """The product's name; "Refill" before a catalogue is loaded."""
    brand = current().brand
    return brand.name if brand else "Refill"


def changed() -> None:
    """Mark the catalogue as changed: other processes read it within a second, this one immediately."""
    models.Catalogue.objects.update(stamp=uuid.uuid4())
    forget()
    # Another thread may cache the old state again before this transaction commits.
    transaction.on_commit(forget)


def forget() -> None:
    """Drop the cached catalogue. Waits for a read in progress, which may return the old state."""
    global _catalogue
    with _lock:
        _catalogue = None
    _checked.clear()


def rates_of(card_id: uuid.UUID) -> dict[str, Rate]:
    """A card's rates as plain values, from the database (drafts too, for the price simulation)."""
    card = models.RateCard.objects.get(pk=card_id)
    return {
        rate.service.key: Rate(
            service=rate.service.key,
            version=card.version,
            effective_at=card.effective_at,
            lines=lines_from_json(rate.lines),
            minimum=rate.minimum,
            multiplier=rate.multiplier,
            cost_of_model=rate.cost_of_model,
            options=options_from_json(rate.options),
        )
        for rate in card.rates.select_related("service")
    }


def _read() -> LoadedCatalogue:
    row = models.Catalogue.objects.first()
    published = models.RateCard.objects.filter(state=models.RateCard.State.PUBLISHED)
    return LoadedCatalogue(
        stamp=row.stamp if row else None,
        key=row.key if row else "",
        currencies=tuple(row.currencies) if row else (),
        brand=Brand.model_validate(row.brand) if row else None,
        wording=Wording.model_validate(row.wording) if row else None,
        policies=Policies.model_validate(row.policies) if row else Policies(),
        has_plans_to_compare=models.Plan.objects.filter(legacy=False, retired_at=None).count() > 1,
        services={
            service.key: _facts(service) for service in models.Service.objects.order_by("position", "key")
        },
        cards=tuple(
            CardHead(card.id, card.version, card.effective_at)
            for card in published.order_by("effective_at", "published_at", "id")
        ),
        translations=row.translations if row else {},
    )


def _facts(service: models.Service) -> ServiceFacts:
    return ServiceFacts(
        key=service.key,
        name=service.name,
        kind=service.kind,
        modality=service.modality,
        tags=tuple(service.tags),
        tier=service.tier,
        speed=service.speed,
        usage_class=service.usage_class,
        best_for=service.best_for,
        providers=tuple(service.providers),
        quota=service.quota,
        at_expiry=service.at_expiry,
        position=service.position,
        retired=service.retired_at is not None,
        covers=service.covers,
    )
