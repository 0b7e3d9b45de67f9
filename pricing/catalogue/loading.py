"""Loading a catalogue file into the database, in one transaction.

Invariants: loading the same file again changes nothing (nor what staff changed since); a changed figure
becomes a new rate card from its date and the old card stays; entries removed from the file are retired, never
deleted. Concurrent loads run one after the other.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import models, transaction

from pricing.catalogue import cache as catalogue_cache
from pricing.catalogue import export, rate_cards, rate_rows, schema
from pricing.catalogue.file import CatalogueFile, CatalogueInvalid, read
from pricing.catalogue.rate_cards import Row
from pricing.catalogue.references import findings
from pricing.models import Catalogue, Pack, Plan, RateCard, Sale, Service

Rows = dict[str, Row | None]
"""The rates of a file by service key; None: no price."""
OFFERS = ("plans", "packs", "sales")


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
    same_product = present is not None and present.key == catalogue.key
    last_rates = present.rates if present is not None and same_product else None
    last_offers = present.offers if present is not None and same_product else {}
    _write_services(catalogue.services, now, product_changed=last_rates is None)
    rows = {service.key: _rate_row(catalogue, service, now) for service in catalogue.services}
    published = _write_cards(catalogue, rows, last_rates, now)
    offers = _write_offers(catalogue, last_offers, now)
    Catalogue.objects.update_or_create(
        id=Catalogue.THE_ONE,
        defaults={
            "key": catalogue.key,
            "currencies": catalogue.currencies,
            "brand": catalogue.brand.model_dump(mode="json"),
            "wording": catalogue.wording.model_dump(mode="json"),
            "policies": catalogue.policies.model_dump(mode="json"),
            "translations": catalogue.translations,
            "rates": {key: _fingerprint(row) for key, row in rows.items()},
            "offers": offers,
            "fingerprint": file.fingerprint,
            "loaded_at": now,
        },
    )
    catalogue_cache.changed()
    if last_offers:
        _require_valid(now)
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
    catalogue: schema.Catalogue, rows: Rows, last_rates: dict[str, str] | None, now: datetime
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
    in_force = None if last_rates is None else rate_cards.rows_in_force(now)
    published = []
    for declared_at in dates if first else [*past[-1:], *dates[len(past) :]]:
        own = {service.key: _rate_row(catalogue, service, declared_at) for service in catalogue.services}
        fingerprint = rate_cards.fingerprint(row for row in own.values() if row)
        if before.get(declared_at) == fingerprint:
            continue
        effective_at = declared_at if first else max(declared_at, now)
        rates = _merged(own, rows, last_rates, in_force)
        if not first and _same_as_in_force(rates, effective_at):
            continue
        card = rate_cards.draft(effective_at=effective_at, source=source, now=now)
        rate_cards.set_rates(card, rates)
        rate_cards.put_in_force(card, by=source, now=now, declared=(declared_at, fingerprint))
        published.append(card.version)
    return published


def _merged(
    own: Rows, rows: Rows, last_rates: dict[str, str] | None, in_force: dict[str, Row] | None
) -> list[Row]:
    """The rates of a date of the file.

    Of a service that the file changes neither at that date nor since the last load, the rate in force stays,
    also one of staff, and also that it has none. Rates of imported services stay.
    """
    if not in_force or last_rates is None:
        return [row for row in own.values() if row]
    stays = {
        key for key, row in own.items() if row == rows[key] and last_rates.get(key) == _fingerprint(rows[key])
    }
    imported = set(Service.objects.filter(origin=Service.Origin.IMPORT).values_list("key", flat=True))
    kept = {key: in_force.get(key) for key in stays | imported}
    return [row for row in (own | kept).values() if row]


def _same_as_in_force(rates: list[Row], at: datetime) -> bool:
    """Whether these rates apply at that time anyway. Those of retired services do not count."""
    retired = set(Service.objects.exclude(retired_at=None).values_list("key", flat=True))
    in_force = [row for key, row in rate_cards.rows_in_force(at).items() if key not in retired]
    return rate_cards.fingerprint(in_force) == rate_cards.fingerprint(rates)


def _fingerprint(row: Row | None) -> str:
    return rate_cards.fingerprint([row] if row else [])


def _rate_row(catalogue: schema.Catalogue, service: schema.Service, at: datetime) -> Row | None:
    """The service's rate at a date of the file, as an argument of rate_cards.set_rates; None: no price."""
    rate = service.rate
    for change in service.changes:
        if change.effective_at <= at:
            rate = change.rate
    if rate.unpriced:
        return None
    return rate_rows.row_of(
        service.key,
        rate,
        lines=catalogue.bases[rate.base] if rate.base is not None else rate.lines,
        options={name: catalogue.options[name] for name in service.options} | rate.options,
    )


def _write_offers(
    catalogue: schema.Catalogue, last: dict[str, dict[str, str]], now: datetime
) -> dict[str, dict[str, str]]:
    """Write the entries that the file changed since the last load; the others stay as staff have them.

    `last`: the fingerprints of the last load; empty when that was of another product. Returns the new ones.
    """
    offers = {
        part: {entry.key: _offer_fingerprint(entry) for entry in getattr(catalogue, part)} for part in OFFERS
    }
    changed = {
        part: {key for key, seen in entries.items() if last.get(part, {}).get(key) != seen}
        for part, entries in offers.items()
    }
    plans = [
        Plan(**plan.model_dump(mode="json"), position=position)
        for position, plan in enumerate(catalogue.plans)
    ]
    free = [plan.key for plan in plans if plan.free and plan.key in changed["plans"]]
    if free:  # only one plan may be free (unique constraint): clear the old one first
        Plan.objects.filter(free=True).exclude(key__in=free).update(free=False)
    packs = [Pack(**pack.model_dump(), position=position) for position, pack in enumerate(catalogue.packs)]
    for model, part, rows in ((Plan, "plans", plans), (Pack, "packs", packs)):
        _position(model, rows)
        made = _made_by_staff(model, offers[part], last.get(part, {})) if last else []
        kept = [*made, *(row.key for row in rows)]
        _write(model, [row for row in rows if row.key in changed[part]], now, keep=kept)
    _write_sales(catalogue.sales, changed["sales"], last.get("sales"), now)
    return offers


def _offer_fingerprint(entry: schema.Plan | schema.Pack | schema.Sale) -> str:
    return hashlib.sha256(entry.model_dump_json().encode()).hexdigest()


def _position(model: type[models.Model], rows: Sequence[Any]) -> None:
    """Order the entries as in the file; those of staff come after them."""
    for row in rows:
        model._default_manager.filter(key=row.key).exclude(position=row.position).update(
            position=row.position
        )


def _made_by_staff(model: type[models.Model], now: Iterable[str], last: Iterable[str]) -> list[str]:
    """The keys of entries that neither this file nor the last one has."""
    keys = model._default_manager.exclude(key__in=[*now, *last]).order_by("position", "key")
    return list(keys.values_list("key", flat=True))


def _write_sales(
    sales: list[schema.Sale], changed: set[str], last: dict[str, str] | None, now: datetime
) -> None:
    packs = {pack.key: pack for pack in Pack.objects.all()}
    for sale in sales:
        if sale.key in changed:
            facts = sale.model_dump(exclude={"key"}) | {"pack": packs[sale.pack]}
            Sale.objects.update_or_create(key=sale.key, defaults=facts)
    # A sale removed from the file ends now; one that has not begun is deleted. Those of staff stay.
    gone = Sale.objects.exclude(key__in=[sale.key for sale in sales])
    if last is not None:
        gone = gone.filter(key__in=last)
    gone.filter(starts_at__gte=now).delete()
    gone.filter(ends_at__gt=now).update(ends_at=now)


def _require_valid(now: datetime) -> None:
    """Check the file's entries together with those of staff. Raises CatalogueInvalid."""
    wrong = findings(export.present(now))
    if wrong:
        named = [(".".join(map(str, found.path)), found.value, found.expected) for found in wrong]
        raise CatalogueInvalid(
            [
                *(f"{path} is {value!r}; expected {expected}" for path, value, expected in named),
                "The file contradicts what staff changed in the admin. Change it there, or in the file.",
            ]
        )


def _write(model: type[models.Model], rows: Sequence[Any], now: datetime, keep: Iterable[str] = ()) -> None:
    """Create or update the rows with these keys, and retire all others except those to keep."""
    names = [field.name for field in model._meta.concrete_fields if field.name not in ("id", "key")]
    model._default_manager.bulk_create(
        rows, update_conflicts=True, unique_fields=["key"], update_fields=names
    )
    kept = [*keep, *(row.key for row in rows)]
    model._default_manager.filter(retired_at=None).exclude(key__in=kept).update(retired_at=now)
