"""Pricing a use by service key: with the rates in force, or with a pinned version.

Invariant: a service without a rate on the card is refused, never free; no database query while the cache
(pricing.catalogue.cache) is current.
"""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.utils.translation import gettext as _

from core.errors import Refusal
from pricing.catalogue import cache as catalogue_cache
from pricing.catalogue.cache import CardHead, LoadedCatalogue, ServiceFacts
from pricing.rates import quotes
from pricing.rates.rate import Rate
from pricing.rates.validation import UsageInvalid


class UnknownService(Refusal):
    """No service (or action) has this key (404). `field` is the field of the use that named it."""

    status = 404
    code = "unknown_service"

    def __init__(self, key: str, field: str) -> None:
        super().__init__(_("There is no service with this key. GET /api/v1/services lists all services."))
        self.key = key
        self.field = field


class ServiceUnpriced(Refusal):
    """The service exists and has no rate in force (409): it cannot be charged until it has one."""

    status = 409
    code = "service_unpriced"

    def __init__(self, key: str) -> None:
        super().__init__(
            _("%(service)s has no price. It can be used when a rate is in force.") % {"service": key}
        )
        self.key = key


def price_use(
    *,
    service: str,
    usage: Mapping[str, Any],
    now: datetime,
    action: str = "",
    options: Mapping[str, Any] | None = None,
    rate_version: str | None = None,
    zero_allowed: bool = False,
) -> quotes.Quote:
    """The price of a use, from the card in force at `now` or the given published version.

    `zero_allowed`: a use of zero costs nothing, instead of being refused.
    Raises UnknownService (404), ServiceUnpriced (409), UsageInvalid (400).
    """
    catalogue = catalogue_cache.current()
    facts, doing = _facts_of(catalogue, service, action)
    rates = catalogue.rates(_card(catalogue, service, now, rate_version))
    priced = quotes.quote(
        _rate(rates, service),
        usage,
        options,
        action=_rate(rates, action) if action else None,
        zero_allowed=zero_allowed,
    )
    return priced._replace(
        covers=covers_of(facts, doing),
        counts=_counts(doing if doing is not None and doing.quota else facts, priced),
    )


def facts_of(service: str, action: str) -> tuple[ServiceFacts, ServiceFacts | None]:
    """The service and the action of a use. Raises UnknownService (404), UsageInvalid (400)."""
    return _facts_of(catalogue_cache.current(), service, action)


def _facts_of(
    catalogue: LoadedCatalogue, service: str, action: str
) -> tuple[ServiceFacts, ServiceFacts | None]:
    facts = _facts(catalogue, service, "service")
    doing = _facts(catalogue, action, "action") if action else None
    if doing is not None and (doing.kind != "action" or facts.kind != "model"):
        raise UsageInvalid(
            "action",
            "not_an_action",
            _("Send an action as `action` with its model as `service`, or alone as `service`."),
        )
    return facts, doing


def covers_of(facts: ServiceFacts, doing: ServiceFacts | None) -> tuple[str, ...]:
    """What a limited grant may name to pay for a use of the service, done with the action."""
    return facts.covers if doing is None else (*facts.covers, *doing.covers)


def at_expiry_of(facts: ServiceFacts, doing: ServiceFacts | None) -> str:
    """What becomes of a hold that nobody captures: what its action says, else its service."""
    return (doing.at_expiry if doing is not None else "") or facts.at_expiry or "release"


def rate_in_force(service: str, now: datetime) -> Rate:
    """The rate that prices a service at `now`. Raises UnknownService, ServiceUnpriced."""
    catalogue = catalogue_cache.current()
    _facts(catalogue, service, "service")
    return _rate(catalogue.rates(_card(catalogue, service, now, None)), service)


def _facts(catalogue: LoadedCatalogue, key: str, field: str) -> ServiceFacts:
    try:
        return catalogue.services[key]
    except KeyError:
        raise UnknownService(key, field) from None


def _card(catalogue: LoadedCatalogue, service: str, now: datetime, version: str | None) -> CardHead:
    card = catalogue.card_at(now) if version is None else catalogue.card_of_version(version)
    if card is None:
        raise ServiceUnpriced(service)
    return card


def _rate(rates: Mapping[str, Rate], key: str) -> Rate:
    try:
        return rates[key]
    except KeyError:
        raise ServiceUnpriced(key) from None


def _counts(facts: ServiceFacts, priced: quotes.Quote) -> tuple[str, int] | None:
    """How much of a plan's quota the use counts: its uses, or 1 for other meters; 0 for a use of zero."""
    if not facts.quota:
        return None
    if not any(line.quantity for line in priced.lines):
        return facts.quota, 0
    uses = sum((line.quantity for line in priced.lines if line.meter == "uses"), Decimal(0))
    return facts.quota, int(uses) or 1
