"""Draft rate cards that staff edit: changing prices, and returning to an earlier card.

Invariants: a rate of a draft is valid as in a catalogue file; of two people who change the same rate, the
second is refused and sees the first's; a draft that is being published does not change.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext as _

from pricing.catalogue import cache as catalogue_cache
from pricing.catalogue import rate_cards, rate_rows
from pricing.catalogue.rate_cards import Row
from pricing.catalogue.rate_rows import RateInvalid
from pricing.models import Rate, RateCard, Service


class DraftChanged(Exception):
    """Somebody else changed or published the draft. `services`: whose rates differ from those shown."""

    def __init__(self, services: list[str], message: str) -> None:
        super().__init__(message)
        self.services = services


class RatesInvalid(Exception):
    """Rates that no catalogue file may have. `by_service`: the errors of each."""

    def __init__(self, by_service: dict[str, RateInvalid]) -> None:
        super().__init__("; ".join(f"{key}: {error}" for key, error in by_service.items()))
        self.by_service = by_service


@dataclass(frozen=True, slots=True)
class Change:
    """A rate as in a catalogue file, or None: no price. `seen`: fingerprint of the rate that it replaces."""

    seen: str
    table: Mapping[str, Any] | None


def seen(row: Row | None) -> str:
    """The fingerprint of a service's rate, which the form that changes it carries."""
    return rate_cards.fingerprint([row]) if row else ""


def rows(card: RateCard) -> dict[str, Row]:
    """The card's rates by service key."""
    return {str(row["service"]): row for row in rate_cards.rows_of(card.pk)}


def change(
    card_id: UUID, changes: Mapping[str, Change]
) -> tuple[dict[str, Row | None], dict[str, Row | None]]:
    """Change rates of a draft: what was and what is now, by service key, of those that differ.

    Raises RatesInvalid, DraftChanged, RateCard.DoesNotExist. Nothing is changed then.
    """
    with transaction.atomic():
        card = _locked_draft(card_id)
        present = rows(card)
        stale = [key for key, one in changes.items() if one.seen != seen(present.get(key))]
        if stale:
            message = _("Somebody else changed these prices. Check their present values, then enter yours.")
            raise DraftChanged(stale, message)
        wanted = _checked({key: one.table for key, one in changes.items()})
        for key, row in wanted.items():  # the cost at the provider is not part of what is edited
            if row is not None and "cost" in present.get(key, {}):
                row["cost"] = present[key]["cost"]
        new = {key: row for key, row in wanted.items() if seen(row) != seen(present.get(key))}
        for key, row in new.items():
            _write(card, key, row)
    return {key: present.get(key) for key in new}, new


def _checked(tables: Mapping[str, Mapping[str, Any] | None]) -> dict[str, Row | None]:
    services = catalogue_cache.current().services
    modalities = {service.modality for service in services.values() if service.kind == "model"}
    checked: dict[str, Row | None] = {}
    invalid: dict[str, RateInvalid] = {}
    for key, table in tables.items():
        try:
            checked[key] = None
            if table is not None:
                checked[key] = rate_rows.checked(services[key], table, modalities=modalities)
        except RateInvalid as error:
            invalid[key] = error
    if invalid:
        raise RatesInvalid(invalid)
    return checked


def _write(card: RateCard, key: str, row: Row | None) -> None:
    service = Service.objects.get(key=key)
    if row is None:
        Rate.objects.filter(card=card, service=service).delete()
        return
    Rate.objects.update_or_create(card=card, service=service, defaults=row | {"service": service})


def _locked_draft(card_id: UUID) -> RateCard:
    card = RateCard.objects.select_for_update(no_key=True).get(pk=card_id)
    if card.state != RateCard.State.DRAFT:
        raise DraftChanged([], _("This rate card is not a draft. Make a new draft."))
    return card


def roll_back(card_id: UUID, *, source: str, now: datetime) -> RateCard:
    """A draft with the rates of an earlier card; services without a rate on it keep their present ones.

    Raises RateCard.DoesNotExist.
    """
    with transaction.atomic():
        earlier = RateCard.objects.exclude(state=RateCard.State.DRAFT).get(pk=card_id)
        card = rate_cards.copy_in_force(
            effective_at=now, source=source, now=now, note=_("As %(card)s") % {"card": earlier.version}
        )
        rates = list(Rate.objects.filter(card=earlier, service__retired_at=None))
        card.rates.filter(service__in=[rate.service_id for rate in rates]).delete()
        Rate.objects.bulk_create(rate_cards.copied(rate, card) for rate in rates)
    return card
