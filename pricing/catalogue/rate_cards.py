"""Rate cards: drafting, publishing and withdrawing them.

Invariants: a published card never changes and is never backdated (except the first card of an installation);
only a card with a future date can be withdrawn; staff publish a draft only after its price simulation, and
never one that sells below cost.
"""

import hashlib
import json
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import connection, transaction
from django.utils.translation import gettext as _

from core.amounts import plain
from pricing.catalogue import cache as catalogue_cache
from pricing.models import Rate, RateCard, Service
from pricing.rates.rate import lines_from_json

_LOCK = 0x52454649  # any number that no other lock uses

Row = dict[str, Any]
"""A rate as the fields of models.Rate, with the service's key as `service`."""


class CardNotPublishable(Exception):
    """The draft cannot be published. `reasons`: sentences for staff."""

    def __init__(self, reasons: list[str]) -> None:
        super().__init__(" ".join(reasons))
        self.reasons = reasons


def draft(
    *,
    effective_at: datetime,
    source: str,
    now: datetime,
    note: str = "",
    problems: Sequence[str] = (),
) -> RateCard:
    """An empty draft card with a unique version name derived from its date."""
    with transaction.atomic():
        one_at_a_time()
        return RateCard.objects.create(
            version=_free_version(effective_at),
            effective_at=effective_at,
            source=source,
            note=note,
            problems=list(problems),
            created_at=now,
        )


def one_at_a_time() -> None:
    """Lock, until the end of the transaction, loading catalogues and naming cards."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])


def copy_in_force(
    *, effective_at: datetime, source: str, now: datetime, note: str = "", problems: Sequence[str] = ()
) -> RateCard:
    """A draft for staff, with a copy of the rates in force."""
    card = draft(effective_at=effective_at, source=source, now=now, note=note, problems=problems)
    present = catalogue_cache.current().card_at(now)
    if present is not None:
        rates = Rate.objects.filter(card_id=present.id)
        Rate.objects.bulk_create(copied(rate, card) for rate in rates)
    return card


def copied(rate: Rate, card: RateCard) -> Rate:
    """The rate, to be inserted on another card."""
    rate.pk = None
    rate.card = card
    rate._state.adding = True
    return rate


def set_rates(card: RateCard, rows: Sequence[Row]) -> None:
    """Replace the rates of a draft."""
    keys = [row["service"] for row in rows]
    services = {service.key: service for service in Service.objects.filter(key__in=keys)}
    card.rates.all().delete()
    Rate.objects.bulk_create(Rate(card=card, **row | {"service": services[row["service"]]}) for row in rows)


def fingerprint(rows: Iterable[Row]) -> str:
    """SHA-256 of rates, independent of their order and of the notation of figures."""
    canonical = [
        {name: plain(value) if isinstance(value, Decimal) else value for name, value in row.items()}
        for row in sorted(rows, key=lambda row: str(row["service"]))
    ]
    return hashlib.sha256(json.dumps(canonical, sort_keys=True).encode()).hexdigest()


def rows_of(card_id: Any) -> list[Row]:
    """The card's rates."""
    names = ("lines", "options", "minimum", "multiplier", "cost_of_model", "assumed", "reason")
    return [
        {"service": rate.service.key, **{name: getattr(rate, name) for name in names}}
        | ({"cost": rate.cost} if rate.cost else {})
        for rate in Rate.objects.filter(card_id=card_id).select_related("service")
    ]


def rows_in_force(now: datetime) -> dict[str, Row]:
    """The rates in force by service key; empty before the first card."""
    published = RateCard.objects.filter(state=RateCard.State.PUBLISHED, effective_at__lte=now)
    card = published.order_by("-effective_at", "-published_at", "-id").first()
    return {row["service"]: row for row in rows_of(card.pk)} if card else {}


def put_in_force(
    card: RateCard, *, by: str, now: datetime, declared: tuple[datetime, str] | None = None
) -> None:
    """Publish without checks (for the loader; staff use `publish`).

    `declared`: the date of the card in the catalogue file, and the fingerprint of its rates there.
    """
    if declared is not None:
        card.declared_at, card.declared_fingerprint = declared
    card.fingerprint = fingerprint(rows_of(card.pk))
    card.state = RateCard.State.PUBLISHED
    card.published_at = now
    card.published_by = by
    card.save()
    catalogue_cache.changed()


def publish(card_id: Any, *, seen: str, by: str, now: datetime, at: datetime | None = None) -> RateCard:
    """Publish a draft from `at`; without it from its own date, or from now if that has passed.

    `seen`: the fingerprint of the rates whose simulation was reviewed. Raises CardNotPublishable.
    """
    with transaction.atomic():
        one_at_a_time()
        card = RateCard.objects.select_for_update(no_key=True).get(pk=card_id)
        reasons = reasons_against(card)
        if not reasons and seen != fingerprint(rows_of(card.pk)):
            reasons = [_("The rates changed after the simulation. Review the new simulation, then publish.")]
        if at is not None and at < now:
            reasons.append(_("This date has passed. Choose a later one, or publish now."))
        if reasons:
            raise CardNotPublishable(reasons)
        effective_at = at or max(card.effective_at, now)
        if effective_at.date() != card.effective_at.date():  # the version is named after the date
            card.version = _free_version(effective_at)
        card.effective_at = effective_at
        # An imported service becomes available with its first price.
        Service.objects.filter(rates__card=card, origin=Service.Origin.IMPORT).update(retired_at=None)
        put_in_force(card, by=by, now=now)
    return card


def withdraw(card_id: Any, *, now: datetime) -> None:
    """Withdraw a published card with a future date. Raises CardNotPublishable for any other."""
    with transaction.atomic():
        card = RateCard.objects.select_for_update(no_key=True).get(pk=card_id)
        if card.state != RateCard.State.PUBLISHED or card.effective_at <= now:
            raise CardNotPublishable([_("Only a published rate card with a future date can be withdrawn.")])
        RateCard.objects.filter(pk=card.pk).update(state=RateCard.State.WITHDRAWN)
        catalogue_cache.changed()


def reasons_against(card: RateCard) -> list[str]:
    """The reasons why this card cannot be published; empty if it can."""
    if card.state != RateCard.State.DRAFT:
        return [_("This rate card is not a draft.")]
    rates = list(card.rates.select_related("service"))
    if not rates:
        return [_("The rate card has no rates. Every service would be without a price.")]
    return [sentence for rate in rates for sentence in below_cost(rate)]


def below_cost(rate: Rate) -> list[str]:
    """A sentence for each line with a price below the cost at the provider."""
    sentences = []
    for line in lines_from_json(rate.lines):
        cost = rate.cost.get(line.meter)
        for band in line.bands:
            if cost is not None and band.credits * rate.multiplier < Decimal(cost) * line.per:
                sentences.append(
                    _("%(service)s sells %(meter)s below cost: %(price)s per %(per)s, cost %(cost)s.")
                    % {
                        "service": rate.service.key,
                        "meter": line.meter,
                        "price": plain(band.credits * rate.multiplier),
                        "per": line.per,
                        "cost": plain(Decimal(cost) * line.per),
                    }
                )
    return sentences


def withdraw_coming(*, source: str, keep: Collection[datetime], now: datetime) -> None:
    """Withdraw published cards of sources with this prefix that have a future date, except the kept dates."""
    coming = RateCard.objects.filter(
        source__startswith=source, state=RateCard.State.PUBLISHED, effective_at__gt=now
    )
    coming.exclude(declared_at__in=keep).update(state=RateCard.State.WITHDRAWN)


def newest_by_declared_date(*, source: str) -> dict[datetime | None, str]:
    """The last fingerprint of each date that the file of this source declared."""
    cards = RateCard.objects.filter(source=source, state=RateCard.State.PUBLISHED)
    return {card.declared_at: card.declared_fingerprint for card in cards.order_by("published_at", "id")}


def coming_after(card: RateCard, now: datetime) -> list[RateCard]:
    """Published cards with a later date, which will replace this one without its changes."""
    coming = RateCard.objects.filter(
        state=RateCard.State.PUBLISHED, effective_at__gt=max(card.effective_at, now)
    )
    return list(coming.order_by("effective_at"))


def _free_version(effective_at: datetime) -> str:
    day = effective_at.date().isoformat()
    taken = set(RateCard.objects.filter(version__startswith=day).values_list("version", flat=True))
    if day not in taken:
        return day
    return next(
        name for name in (f"{day}.{number}" for number in range(2, len(taken) + 3)) if name not in taken
    )
