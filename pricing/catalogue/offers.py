"""Plans, packs and sales that staff add and change.

Invariants: an entry is valid as in a catalogue file, by itself and together with all others; of two people
who change the same entry, the second is refused. What subscribers pay does not change: their price is at
Stripe (billing.subscriptions.prices), and a changed price is for those who subscribe later.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _
from pydantic import ValidationError

from pricing.catalogue import cache as catalogue_cache
from pricing.catalogue import export, rate_cards, schema
from pricing.catalogue.references import findings
from pricing.models import Pack, Plan, Sale

Path = tuple[str | int, ...]
Offer = Plan | Pack | Sale
Entry = schema.Plan | schema.Pack | schema.Sale
_SCHEMAS: dict[type[Offer], type[Entry]] = {Plan: schema.Plan, Pack: schema.Pack, Sale: schema.Sale}
_PARTS: dict[type[Offer], str] = {Plan: "plans", Pack: "packs", Sale: "sales"}


class OfferInvalid(Exception):
    """An entry that no file may have. `problems`: the path of each field within the entry, and the error."""

    def __init__(self, problems: list[tuple[Path, str]]) -> None:
        super().__init__("; ".join(sentence for _path, sentence in problems))
        self.problems = problems


class OfferChanged(Exception):
    """Somebody else changed the entry."""


@dataclass(frozen=True, slots=True)
class Saved:
    """The entry as stored, and its fields before and after, for the audit log. Empty `before`: it is new."""

    row: Offer
    before: dict[str, Any]
    after: dict[str, Any]


def table_of(row: Offer) -> dict[str, Any]:
    """The entry as in a file, with all fields."""
    if isinstance(row, Plan):
        return export.plan_table(row)
    return export.pack_table(row) if isinstance(row, Pack) else export.sale_table(row)


def seen(row: Offer | None) -> str:
    """The fingerprint of an entry, which the form that changes it carries."""
    if row is None:
        return ""
    withdrawn = getattr(row, "retired_at", None)
    return hashlib.sha256(repr((sorted(table_of(row).items()), withdrawn)).encode()).hexdigest()


def save(
    model: type[Offer],
    row: Offer | None,
    table: Mapping[str, Any],
    *,
    seen_as: str,
    withdrawn: bool = False,
    now: datetime,
) -> Saved:
    """Add an entry, or change this one. Raises OfferInvalid, OfferChanged; nothing is changed then."""
    with transaction.atomic():
        objects: Any = model._default_manager
        rate_cards.one_at_a_time()  # loads of a file and other changes of offers
        present = objects.select_for_update(no_key=True).get(pk=row.pk) if row else None
        if seen(present) != seen_as:
            raise OfferChanged(
                _("Somebody else changed this entry. Check its present values, then enter yours.")
            )
        before = _recorded(present) if present else {}
        entry = _validated(model, present, table, withdrawn, now)
        saved = present or model(key=entry.key)
        for name, value in _stored(entry).items():
            setattr(saved, name, value)
        if not isinstance(saved, Sale):
            saved.retired_at = (saved.retired_at or now) if withdrawn else None
            if present is None:
                saved.position = objects.filter(retired_at=None).count()
        saved.save()
        catalogue_cache.changed()
    return Saved(saved, before, _recorded(saved))


def _validated(
    model: type[Offer], present: Offer | None, table: Mapping[str, Any], withdrawn: bool, now: datetime
) -> Any:
    try:
        entry = _SCHEMAS[model].model_validate(table)
    except ValidationError as error:
        raise OfferInvalid(
            [(tuple(detail["loc"]), schema.expected(detail)) for detail in error.errors(include_url=False)]
        ) from error
    objects: Any = model._default_manager
    taken = objects.filter(key=entry.key).exclude(pk=present.pk if present else None)
    if taken.exists():
        raise OfferInvalid([(("key",), "a key that no other entry of this kind has")])
    if present is not None and entry.key != present.key:
        raise OfferInvalid([(("key",), "the key it has: keys do not change")])
    if isinstance(entry, schema.Sale) and entry.ends_at <= now:
        raise OfferInvalid([(("ends_at",), "a date to come")])
    whole = export.present(now)
    part = _PARTS[model]
    entries = list(getattr(whole, part))
    number = next((place for place, one in enumerate(entries) if one.key == entry.key), len(entries))
    entries[number : number + 1] = [] if withdrawn else [entry]
    for found in findings(whole.model_copy(update={part: entries})):
        if found.path[0] == "translations":
            continue  # of a text that changed: the export leaves it out
        if found.path[:2] == (part, number) and not withdrawn:
            raise OfferInvalid([(found.path[2:], found.expected)])
        raise OfferInvalid([((), f"{'.'.join(map(str, found.path))}: {found.expected}")])
    return entry


def _stored(entry: Entry) -> dict[str, Any]:
    """The fields of the row."""
    if isinstance(entry, schema.Plan):
        return entry.model_dump(mode="json", exclude={"key"})
    fields = entry.model_dump(exclude={"key"})
    return fields | {"pack": Pack.objects.get(key=entry.pack)} if isinstance(entry, schema.Sale) else fields


def _recorded(row: Offer) -> dict[str, Any]:
    withdrawn = {} if isinstance(row, Sale) else {"retired_at": row.retired_at}
    return table_of(row) | withdrawn
