"""Loading a catalogue file into the database, in one transaction.

Invariants: loading the same file again changes nothing (nor what staff published since); a changed figure
becomes a new rate card from its date and the old card stays; entries removed from the file are retired, never
deleted. Concurrent loads run one after the other.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import models, transaction

from pricing.catalogue import cache as catalogue_cache
from pricing.catalogue import rate_cards, rate_rows, schema
from pricing.catalogue.file import CatalogueFile, read
from pricing.catalogue.rate_cards import Row
from pricing.models import Catalogue, Pack, Plan, RateCard, Sale, Service


@dataclass(slots=True)
class Loaded:
    """The result of a load. `cards`: the published versions; `changed`: whether anything changed."""

    key: str
    changed: bool
    cards: list[str] = field(default_factory=list)


def load(name_or_path: str, *, now: datetime) -> Loaded:
    """Load a catalogue by name or path. Raises CatalogueInvalid without having changed anything."""
    file = read(name_or_path)
    with transaction.atomic():
        rate_cards.one_at_a_time()
        present = Catalogue.objects.first()
        if present is not None and present.fingerprint == file.fingerprint:
            return Loaded(file.catalogue.key, changed=False)
        return _load(file, present, now)


def _load(file: CatalogueFile, present: Catalogue | None, now: datetime) -> Loaded:
    catalogue = file.catalogue
    last_rates = present.rates if present is not None and present.key == catalogue.key else None
    _write_services(catalogue.services, now, product_changed=last_rates is None)
    rows = {service.key: _rate_row(catalogue, service, now) for service in catalogue.services}
    published = _write_cards(catalogue, rows, last_rates, now)
    _write_offers(catalogue, now)
    Catalogue.objects.update_or_create(
        id=Catalogue.THE_ONE,
        defaults={
            "key": catalogue.key,
            "currencies": catalogue.currencies,
            "brand": catalogue.brand.model_dump(mode="json"),
            "wording": catalogue.wording.model_dump(mode="json"),
            "policies": catalogue.policies.model_dump(mode="json"),
            "translations": catalogue.translations,
            "rates": {key: rate_cards.fingerprint([row]) for key, row in rows.items()},
            "fingerprint": file.fingerprint,
            "loaded_at": now,
        },
    )
    catalogue_cache.changed()
    return Loaded(catalogue.key, changed=True, cards=published)


def _write_services(services: list[schema.Service], now: datetime, *, product_changed: bool) -> None:
    rows = []
    for position, service in enumerate(services):
        facts = service.model_dump(exclude={"options", "rate", "changes"})
        facts |= {"quota": service.quota or "", "at_expiry": service.at_expiry or "", "position": position}
        rows.append(Service(**facts))
    # Services that staff imported stay, unless the file is of another product.
    stays = (
        Service.objects.none() if product_changed else Service.objects.filter(origin=Service.Origin.IMPORT)
    )
    _write(Service, rows, now, keep=stays.values_list("key", flat=True))


def _write_cards(
    catalogue: schema.Catalogue, rows: dict[str, Row], last_rates: dict[str, str] | None, now: datetime
) -> list[str]:
    """Publish a card for each date of the file whose rates differ from those of the last load.

    `rows` are the current rates of the file; `last_rates` the fingerprints of the last load, None
    if that was of another product or did not exist. Only the first load may publish cards in the past.
    """
    source = f"catalogue:{catalogue.key}"
    changes = {change.effective_at for service in catalogue.services for change in service.changes}
    dates = sorted({catalogue.effective_at, *changes})
    first = not RateCard.objects.filter(state=RateCard.State.PUBLISHED).exists()
    past = [date for date in dates if date <= now]
    rate_cards.withdraw_coming(source="catalogue:", keep=() if last_rates is None else dates, now=now)
    before = {} if last_rates is None else rate_cards.newest_by_declared_date(source=source)
    present = {} if last_rates is None else _merged(rows, last_rates, rate_cards.rows_in_force(now))
    published = []
    for declared_at in dates if first else [*past[-1:], *dates[len(past) :]]:
        own = {service.key: _rate_row(catalogue, service, declared_at) for service in catalogue.services}
        fingerprint = rate_cards.fingerprint(own.values())
        if before.get(declared_at) == fingerprint:
            continue
        # Rates that the file does not change at that date stay in force, including those of staff.
        same = {key: row for key, row in present.items() if key not in own or own[key] == rows[key]}
        effective_at = declared_at if first else max(declared_at, now)
        card = rate_cards.draft(effective_at=effective_at, source=source, now=now)
        rate_cards.set_rates(card, list((own | same).values()))
        rate_cards.put_in_force(card, by=source, now=now, declared=(declared_at, fingerprint))
        published.append(card.version)
    return published


def _merged(rows: dict[str, Row], last_rates: dict[str, str], in_force: dict[str, Row]) -> dict[str, Row]:
    """The current rates: those of the file where it changed them, else those in force; and imported ones."""
    changed = {key for key, row in rows.items() if last_rates.get(key) != rate_cards.fingerprint([row])}
    imported = set(Service.objects.filter(origin=Service.Origin.IMPORT).values_list("key", flat=True))
    stay = {
        key: row for key, row in in_force.items() if key in imported or (key in rows and key not in changed)
    }
    return rows | stay


def _rate_row(catalogue: schema.Catalogue, service: schema.Service, at: datetime) -> Row:
    """The service's rate at a date of the file, as an argument of rate_cards.set_rates."""
    rate = service.rate
    for change in service.changes:
        if change.effective_at <= at:
            rate = change.rate
    return rate_rows.row_of(
        service.key,
        rate,
        lines=catalogue.bases[rate.base] if rate.base is not None else rate.lines,
        options={name: catalogue.options[name] for name in service.options} | rate.options,
    )


def _write_offers(catalogue: schema.Catalogue, now: datetime) -> None:
    free = [plan.key for plan in catalogue.plans if plan.free]
    # Only one plan may be free (unique constraint): clear the old one first.
    Plan.objects.filter(free=True).exclude(key__in=free).update(free=False)
    plans = [
        Plan(**plan.model_dump(mode="json"), position=position)
        for position, plan in enumerate(catalogue.plans)
    ]
    _write(Plan, plans, now)
    packs = [Pack(**pack.model_dump(), position=position) for position, pack in enumerate(catalogue.packs)]
    _write(Pack, packs, now)
    _write_sales(catalogue.sales, now)


def _write_sales(sales: list[schema.Sale], now: datetime) -> None:
    packs = {pack.key: pack for pack in Pack.objects.all()}
    for sale in sales:
        facts = sale.model_dump(exclude={"key"}) | {"pack": packs[sale.pack]}
        Sale.objects.update_or_create(key=sale.key, defaults=facts)
    # A sale removed from the file ends now; one that has not begun is deleted.
    gone = Sale.objects.exclude(key__in=[sale.key for sale in sales])
    gone.filter(starts_at__gte=now).delete()
    gone.filter(ends_at__gt=now).update(ends_at=now)


def _write(model: type[models.Model], rows: Sequence[Any], now: datetime, keep: Iterable[str] = ()) -> None:
    """Create or update the rows with these keys, and retire all others except those to keep."""
    names = [field.name for field in model._meta.concrete_fields if field.name not in ("id", "key")]
    model._default_manager.bulk_create(
        rows, update_conflicts=True, unique_fields=["key"], update_fields=names
    )
    kept = [*keep, *(row.key for row in rows)]
    model._default_manager.filter(retired_at=None).exclude(key__in=kept).update(retired_at=now)
