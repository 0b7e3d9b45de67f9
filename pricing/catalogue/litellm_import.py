"""Import of a price map into a draft rate card, which staff review and publish.

Invariant: importing changes no price. Services added by the import stay retired (not listed, not chargeable)
until the draft is published.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import transaction

from pricing.catalogue import cache as catalogue_cache
from pricing.catalogue import litellm_prices, rate_cards
from pricing.catalogue.litellm_prices import Mapped
from pricing.models import Rate, RateCard, Service
from pricing.rates.rate import lines_as_json


@dataclass(frozen=True, slots=True)
class Imported:
    """The draft, the number of services with a new price, and what was not imported."""

    card: RateCard
    repriced: int
    added: int
    left_out: list[str]


def import_litellm(
    prices: Mapping[str, Any],
    *,
    credit_usd: Decimal,
    margin: Decimal,
    matches: Mapping[str, str],
    source: str,
    effective_at: datetime,
    now: datetime,
) -> Imported:
    """Create a draft from the rates in force and the prices of the map.

    `matches` maps service keys to models of the map ({"claude-sonnet-4": "…"}); other models price the
    service whose key is derived from their name, which is created if it does not exist.
    """
    reading = litellm_prices.read(prices, credit_usd=credit_usd, margin=margin)
    by_model = {mapped.model: mapped for mapped in reading.mapped}
    left_out = list(reading.left_out)
    mapped_models = {mapped.key: mapped for mapped in reading.mapped if mapped.model not in matches.values()}
    for service, model in matches.items():
        if model in by_model:
            mapped_models[service] = by_model[model]
        else:
            left_out.append(f"{service}: the map has no price for {model!r}")
    with transaction.atomic():
        added = _add_services(mapped_models, now)
        card = rate_cards.copy_in_force(effective_at=effective_at, source=source, now=now, problems=left_out)
        card.rates.filter(service__key__in=mapped_models).delete()
        services = {service.key: service for service in Service.objects.filter(key__in=mapped_models)}
        reason = f"{source}, margin {margin:%}"[:500]
        Rate.objects.bulk_create(
            Rate(
                card=card,
                service=services[key],
                lines=lines_as_json(mapped.lines),
                cost=dict(mapped.cost),
                assumed=True,
                reason=reason,
            )
            for key, mapped in mapped_models.items()
        )
    return Imported(card, repriced=len(mapped_models) - added, added=added, left_out=left_out)


def _add_services(mapped_models: Mapping[str, Mapped], now: datetime) -> int:
    existing = set(Service.objects.values_list("key", flat=True))
    position = len(existing)
    new = [
        Service(
            key=key,
            name=mapped.model[:200],
            kind=Service.Kind.MODEL,
            modality=mapped.modality,
            tags=[tag] if (tag := litellm_prices.key_of(mapped.provider)[:50]) else [],
            origin=Service.Origin.IMPORT,
            position=position + number,
            retired_at=now,
        )
        for number, (key, mapped) in enumerate(
            (key, mapped) for key, mapped in mapped_models.items() if key not in existing
        )
    ]
    Service.objects.bulk_create(new)
    if new:
        catalogue_cache.changed()
    return len(new)
