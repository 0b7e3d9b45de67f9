"""A draft rate card made from a price map: for staff to review and publish, never in force by itself.

Invariant: importing changes no price. Services that the map adds stay retired (not listed, not chargeable)
until the draft is published.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import transaction

from pricing.catalogue import cache as catalogue_cache
from pricing.models import Rate, RateCard, Service
from pricing.rates import litellm_prices, rate_cards
from pricing.rates.litellm_prices import Mapped
from pricing.rates.rate import lines_as_json


@dataclass(frozen=True, slots=True)
class Imported:
    """The draft, how many of its services have a new price, and what was left out."""

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
    """Draft a card: the rates in force, with what the map prices.

    `matches` names models of the map by the service key that they price here ({"claude-sonnet-4": "…"});
    other models price the service whose key is made of their name, which is added when there is none.
    """
    reading = litellm_prices.read(prices, credit_usd=credit_usd, margin=margin)
    by_model = {mapped.model: mapped for mapped in reading.mapped}
    left_out = list(reading.left_out)
    wanted = {mapped.key: mapped for mapped in reading.mapped if mapped.model not in matches.values()}
    for service, model in matches.items():
        if model in by_model:
            wanted[service] = by_model[model]
        else:
            left_out.append(f"{service}: the map has no price for {model!r}")
    with transaction.atomic():
        added = _add_services(wanted, now)
        card = rate_cards.copy_in_force(effective_at=effective_at, source=source, now=now, problems=left_out)
        card.rates.filter(service__key__in=wanted).delete()
        services = {service.key: service for service in Service.objects.filter(key__in=wanted)}
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
            for key, mapped in wanted.items()
        )
    return Imported(card, repriced=len(wanted) - added, added=added, left_out=left_out)


def _add_services(wanted: Mapping[str, Mapped], now: datetime) -> int:
    known = set(Service.objects.values_list("key", flat=True))
    position = len(known)
    new = [
        Service(
            key=key,
            name=mapped.model[:200],
            kind=Service.Kind.MODEL,
            modality=mapped.modality,
            tags=[mapped.provider[:50]] if mapped.provider else [],
            origin=Service.Origin.IMPORT,
            position=position + number,
            retired_at=now,
        )
        for number, (key, mapped) in enumerate(
            (key, mapped) for key, mapped in wanted.items() if key not in known
        )
    ]
    Service.objects.bulk_create(new)
    if new:
        catalogue_cache.changed()
    return len(new)
