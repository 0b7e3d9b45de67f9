"""What every process remembers of prices: services, cards and rates, so that no charge asks the database.

Invariant: a process never prices by what was true more than a second before it looked: the catalogue's
stamp is read at most once a second, and at once after a change made in this very process. Rates of a
published card never change, so they are remembered for as long as the stamp stands.
"""

import threading
import time
import uuid
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from django.db import transaction

from pricing import models
from pricing.catalogue.policies import Brand, Policies, Wording
from pricing.rates.rate import Rate, lines_from_json, options_from_json

_LOOK_EVERY_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class ServiceFacts:
    """What is known of a service besides its price."""

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
class Book:
    """One consistent look at the catalogue. Shared by threads; only `_rates` grows."""

    stamp: uuid.UUID | None
    key: str
    currencies: tuple[str, ...]
    brand: Brand | None
    wording: Wording | None
    policies: Policies
    services: Mapping[str, ServiceFacts]
    cards: tuple[CardHead, ...]
    _rates: dict[uuid.UUID, Mapping[str, Rate]] = field(default_factory=dict)

    def card_at(self, now: datetime) -> CardHead | None:
        """The newest published card that is in effect at `now`."""
        place = bisect_right(self.cards, now, key=lambda card: card.effective_at)
        return self.cards[place - 1] if place else None

    def card_of_version(self, version: str) -> CardHead | None:
        return next((card for card in self.cards if card.version == version), None)

    def rates(self, card: CardHead) -> Mapping[str, Rate]:
        """The card's rates by service key; read once, then remembered."""
        known = self._rates.get(card.id)
        if known is None:
            known = self._rates[card.id] = rates_of(card.id)
        return known


_lock = threading.Lock()
_book: Book | None = None
_looked_at = 0.0


def current() -> Book:
    """The catalogue as of now, give or take a second."""
    global _book, _looked_at
    book, elapsed = _book, time.monotonic() - _looked_at
    if book is not None and 0 <= elapsed < _LOOK_EVERY_SECONDS:
        return book
    with _lock:
        stamp = models.Catalogue.objects.values_list("stamp", flat=True).first()
        book = _book
        if book is None or book.stamp != stamp:
            book = _book = _read()
        _looked_at = time.monotonic()
        return book


def brand_name() -> str:
    """The product's name; "Refill" before a catalogue is loaded."""
    brand = current().brand
    return brand.name if brand else "Refill"


def changed() -> None:
    """Say that the catalogue changed: other processes see it within a second, this one at once."""
    models.Catalogue.objects.update(stamp=uuid.uuid4())
    forget()
    # Another thread may read the old state again before this transaction commits.
    transaction.on_commit(forget)


def forget() -> None:
    """Look again at the next use. Waits for a look that is under way, which may be an old one."""
    global _book
    with _lock:
        _book = None


def rates_of(card_id: uuid.UUID) -> dict[str, Rate]:
    """A card's rates as plain values, from the database (drafts too, for price simulation)."""
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


def _read() -> Book:
    row = models.Catalogue.objects.first()
    published = models.RateCard.objects.filter(state=models.RateCard.State.PUBLISHED)
    return Book(
        stamp=row.stamp if row else None,
        key=row.key if row else "",
        currencies=tuple(row.currencies) if row else (),
        brand=Brand.model_validate(row.brand) if row else None,
        wording=Wording.model_validate(row.wording) if row else None,
        policies=Policies.model_validate(row.policies) if row else Policies(),
        services={
            service.key: _facts(service) for service in models.Service.objects.order_by("position", "key")
        },
        cards=tuple(
            CardHead(card.id, card.version, card.effective_at)
            for card in published.order_by("effective_at", "published_at", "id")
        ),
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
        position=service.position,
        retired=service.retired_at is not None,
        covers=service.covers,
    )
