"""The present catalogue as a catalogue file: what the file had, and what staff changed since.

Invariants: loading the file changes nothing; loading it into an empty database makes the same services,
offers and rates, now and at each date to come. What is over is left out: earlier rate cards, ended sales,
retired entries, translations of their texts. Nothing is written.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import pairwise
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from pricing.catalogue import drafts, rate_rows, schema, texts, toml
from pricing.catalogue.file import CatalogueInvalid, parse
from pricing.catalogue.policies import Brand, Policies, Wording
from pricing.catalogue.rate_cards import Row
from pricing.models import Catalogue, Pack, Plan, RateCard, Sale, Service

Model = TypeVar("Model", bound=BaseModel)
UNPRICED = {"unpriced": True}
_NOT_LOADED = "No catalogue is loaded. Load one with manage.py load_catalogue."


def text(now: datetime) -> str:
    """The catalogue as the text of a file. Raises CatalogueInvalid where no file can say what there is."""
    written = toml.dumps(table(now))
    parse(written, "the export")
    return f"# The catalogue as of {now:%Y-%m-%d %H:%M} UTC, written by Refill.\n{written}"


def present(now: datetime) -> schema.Catalogue:
    """The catalogue as one value. Raises CatalogueInvalid."""
    return _validated(schema.Catalogue, table(now))


def table(now: datetime) -> dict[str, Any]:
    """The catalogue as the table of a file. Raises CatalogueInvalid when none is loaded."""
    row = Catalogue.objects.first()
    cards = _cards(now)
    if row is None or not cards:
        raise CatalogueInvalid([_NOT_LOADED])
    services = list(Service.objects.filter(retired_at=None).order_by("position", "key"))
    rates = [(card.effective_at, drafts.rows(card)) for card in cards]
    options = _options(services, rates)
    whole = {
        "key": row.key,
        "currencies": list(row.currencies),
        "effective_at": cards[0].effective_at,
        "brand": _changed(Brand, row.brand),
        "wording": _changed(Wording, row.wording),
        "policies": _changed(Policies, row.policies),
        "options": {name: rate_rows.option_table(option) for name, option in options.items()},
        "services": list(_services(services, rates, options)),
        "plans": [_changed(schema.Plan, plan_table(plan)) for plan in _offered(Plan)],
        "packs": [_changed(schema.Pack, pack_table(pack)) for pack in _offered(Pack)],
        "sales": [_changed(schema.Sale, sale_table(sale)) for sale in _coming_sales(now)],
    }
    whole |= {"translations": _translations(_validated(schema.Catalogue, whole), row.translations)}
    return {name: value for name, value in whole.items() if value}


def plan_table(plan: Plan) -> dict[str, Any]:
    """The plan as in a file, with all fields."""
    return {name: getattr(plan, name) for name in schema.Plan.model_fields}


def pack_table(pack: Pack) -> dict[str, Any]:
    return {name: getattr(pack, name) for name in schema.Pack.model_fields}


def sale_table(sale: Sale) -> dict[str, Any]:
    return {name: getattr(sale, name) for name in schema.Sale.model_fields} | {"pack": sale.pack.key}


def _translations(
    catalogue: schema.Catalogue, stored: Mapping[str, Mapping[str, str]]
) -> dict[str, dict[str, str]]:
    """The translations of the catalogue's texts; staff may have changed a text, and a sale may be over."""
    known = {*texts.names(catalogue), *texts.sentences(catalogue)}
    kept = {
        language: {text: one for text, one in translations.items() if text in known}
        for language, translations in stored.items()
    }
    return {language: translations for language, translations in kept.items() if translations}


def _cards(now: datetime) -> list[RateCard]:
    """The card in force and those to come, one for each date."""
    published = RateCard.objects.filter(state=RateCard.State.PUBLISHED)
    by_date = {card.effective_at: card for card in published.order_by("effective_at", "published_at", "id")}
    past = [date for date in by_date if date <= now]
    return [card for date, card in by_date.items() if date > now or date == past[-1]]


def _options(services: list[Service], rates: list[tuple[datetime, dict[str, Row]]]) -> dict[str, Any]:
    """One definition of each option, the first service's; rates that define it otherwise have their own."""
    options: dict[str, Any] = {}
    for _date, rows in rates:
        for service in services:
            row = rows.get(service.key)
            for name, option in row["options"].items() if row else ():
                options.setdefault(name, option)
    return options


def _services(
    services: list[Service], rates: list[tuple[datetime, dict[str, Row]]], options: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    unchanged = {
        date
        for (_before, old), (date, new) in pairwise(rates)
        if all(old.get(service.key) == new.get(service.key) for service in services)
    }
    for position, service in enumerate(services):
        rows = [(date, card.get(service.key)) for date, card in rates]
        shared = [
            name
            for name, option in options.items()
            if all(row is None or row["options"].get(name) == option for _date, row in rows)
            and any(row is not None for _date, row in rows)
        ]
        stored = {name: getattr(service, name, "") for name in schema.Service.model_fields}
        facts = {name: value for name, value in stored.items() if value not in ("", [])}
        facts |= {"options": shared} if shared else {}
        facts["rate"] = _rate(rows[0][1], shared)
        # A card to come that changes nothing stays a card: the first service repeats its rate.
        changes = [
            {"effective_at": date, "rate": _rate(row, shared)}
            for (_before, old), (date, row) in pairwise(rows)
            if old != row or (position == 0 and date in unchanged)
        ]
        yield facts | ({"changes": changes} if changes else {})


def _rate(row: Row | None, shared: list[str]) -> dict[str, Any]:
    if row is None:
        return UNPRICED
    own = {name: option for name, option in row["options"].items() if name not in shared}
    return rate_rows.figures(rate_rows.table_of(row | {"options": own}))


def _offered(model: type[Plan] | type[Pack]) -> Any:
    return model.objects.filter(retired_at=None).order_by("position", "key")


def _coming_sales(now: datetime) -> Any:
    running = Sale.objects.filter(ends_at__gt=now, pack__retired_at=None)
    return running.select_related("pack").order_by("starts_at", "key")


def _changed(model: type[BaseModel], stored: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that differ from their defaults. Raises CatalogueInvalid."""
    return _validated(model, stored).model_dump(exclude_defaults=True)


def _validated(model: type[Model], stored: Mapping[str, Any]) -> Model:
    try:
        return model.model_validate(stored)
    except ValidationError as error:
        entry = f"{model.__name__.lower()} {stored.get('key', '')}".strip()
        problems = [(detail["loc"], schema.expected(detail)) for detail in error.errors(include_url=False)]
        raise CatalogueInvalid(
            [f"{entry}: {'.'.join(map(str, loc))}: expected {expected}" for loc, expected in problems]
        ) from error
