"""Estimates: what a use would cost, from meters or from a text, and a comparison of services.

Invariants: an estimate changes nothing; its id is signed, is valid for one account, service and action, and
pins the rate version until `valid_until`; token counts estimated from a text are marked as approximate.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from django.core import signing
from django.utils.translation import gettext as _

from pricing import lookup
from pricing.catalogue import cache as catalogue_cache
from pricing.catalogue.cache import ServiceFacts
from pricing.rates.meters import TOKENS
from pricing.rates.quotes import Quote
from pricing.rates.rate import Rate, RateLine
from pricing.rates.validation import UsageInvalid

_SALT = "pricing.estimates"
# The quantities of one prompt, for prices that do not count text.
_ONE_OF = ("images", "uses", "messages")


@dataclass(frozen=True, slots=True)
class Estimate:
    """A quote with the token that pins its rate version until `valid_until`."""

    id: str
    quote: Quote
    valid_until: datetime


@dataclass(frozen=True, slots=True)
class Compared:
    """The price of one service in a comparison."""

    service: ServiceFacts
    quote: Quote
    times_cheapest: Decimal | None = None
    """How many times the cheapest one's credits, to one place; None where that is nothing."""


def estimate(
    *,
    service: str,
    subject: str,
    now: datetime,
    usage: Mapping[str, Any] | None = None,
    text: str | None = None,
    action: str = "",
    options: Mapping[str, Any] | None = None,
) -> Estimate:
    """Estimate a use for the account named by `subject` (any stable text).

    Give `usage`, or `text` (with or without some meters). Raises the errors of lookup.price_use.
    """
    quoted = priced(service=service, now=now, usage=usage, text=text, action=action, options=options)
    minutes = catalogue_cache.current().policies.estimate_minutes
    # Whole seconds, rounded down, so that the time shown is the time enforced.
    valid_until = (now + timedelta(minutes=minutes)).replace(microsecond=0)
    pinned = [quoted.rate_version, service, action, subject, int(valid_until.timestamp())]
    return Estimate(signing.dumps(pinned, salt=_SALT), quoted, valid_until)


def pinned_version(token: str, *, service: str, action: str, subject: str, now: datetime) -> str:
    """The rate version that an estimate pins for this use. Raises UsageInvalid (field `estimate`)."""
    try:
        version, its_service, its_action, its_subject, until = signing.loads(token, salt=_SALT)
    except (signing.BadSignature, ValueError, TypeError):
        raise UsageInvalid(
            "estimate", "invalid", _("This estimate id is not valid. Request a new estimate.")
        ) from None
    if (its_service, its_action, its_subject) != (service, action, subject):
        raise UsageInvalid(
            "estimate",
            "other_use",
            _("The estimate is for another account, service or action. Request a new estimate."),
        )
    if now >= datetime.fromtimestamp(until, UTC):
        raise UsageInvalid("estimate", "expired", _("The estimate has expired. Request a new estimate."))
    return str(version)


def priced(
    *,
    service: str,
    now: datetime,
    usage: Mapping[str, Any] | None = None,
    text: str | None = None,
    action: str = "",
    options: Mapping[str, Any] | None = None,
) -> Quote:
    """The quote of an estimate, without a token. Raises the errors of lookup.price_use."""
    if text is None:
        return lookup.price_use(service=service, usage=usage or {}, now=now, action=action, options=options)
    rate = _counting_rate(service, action, now)
    policies = catalogue_cache.current().policies
    usual = {"output_tokens": policies.expected_output_tokens, "seconds": policies.expected_seconds}
    likely, most = tokens_of(text)
    quoted, upper = (
        lookup.price_use(
            service=service,
            usage=usage_of_text(rate, text, estimated=usual | {"input_tokens": tokens}, given=usage or {}),
            now=now,
            action=action,
            options=options,
        )
        for tokens in (likely, most)
    )
    return quoted._replace(maximum=max(quoted.credits, upper.credits), approximate=True)


def _counting_rate(service: str, action: str, now: datetime) -> Rate:
    """The rate whose meters apply: that of the action, or of its model."""
    rate = lookup.rate_in_force(service, now)
    if action:
        of_action = lookup.rate_in_force(action, now)
        return rate if of_action.cost_of_model else of_action
    return rate


def usage_of_text(
    rate: Rate, text: str, *, estimated: Mapping[str, int], given: Mapping[str, Any]
) -> dict[str, Any]:
    """The usage that a text means for this rate; quantities that the caller gave are unchanged."""
    estimated = {"characters": len(text)} | dict.fromkeys(_ONE_OF, 1) | dict(estimated)
    usage: dict[str, Any] = {}
    for line in rate.lines:
        usage |= _guess(line, estimated, given)
    return usage | dict(given)


def _guess(line: RateLine, estimated: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The quantity of one line that a text implies, unless the caller gave it."""
    if line.meter in given:
        return {}
    # Input and output tokens add up; other alternative meters exclude each other.
    parts = {
        meter: estimated[meter]
        for meter in line.also
        if meter in estimated.keys() - given.keys() and meter in TOKENS
    }
    if line.meter in estimated and not any(meter in given for meter in line.also):
        return {line.meter: estimated[line.meter]}
    return parts


def tokens_of(text: str) -> tuple[int, int]:
    """The estimated number of tokens of a text, and an upper estimate.

    Common tokenizers need one token for four Latin letters, one ideograph, or two letters of other scripts;
    ordinary text needs less than twice that.
    """
    latin = sum(1 for letter in text if ord(letter) < 0x250)
    ideographs = sum(1 for letter in text if 0x2E80 <= ord(letter) < 0xE000 or ord(letter) >= 0x20000)
    others = len(text) - latin - ideographs
    likely = max(1, math.ceil(latin / 4 + ideographs + others / 2))
    return likely, likely * 2


def compare(
    *, now: datetime, usage: Mapping[str, Any] | None = None, text: str | None = None, modality: str = ""
) -> list[Compared]:
    """Every priced model that can price this use, cheapest first, then in catalogue order.

    The use may name more meters than a model has: of "3 images, 15 seconds" each model uses its own.
    """
    compared = []
    for facts in catalogue_cache.current().services.values():
        if facts.kind != "model" or facts.retired or (modality and facts.modality != modality):
            continue
        try:
            own = _own_meters(lookup.rate_in_force(facts.key, now), usage or {})
            quoted = priced(service=facts.key, now=now, usage=own, text=text)
        except (lookup.ServiceUnpriced, UsageInvalid):
            continue
        compared.append(Compared(facts, quoted))
    compared.sort(key=lambda row: (row.quote.credits, row.service.position))
    least = compared[0].quote.credits if compared else Decimal(0)
    if not least:
        return compared
    tenth = Decimal("0.1")
    return [
        replace(row, times_cheapest=(row.quote.credits / least).quantize(tenth, ROUND_HALF_UP))
        for row in compared
    ]


def _own_meters(rate: Rate, usage: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a use that this rate prices; a line's own meter takes precedence over its alternatives."""
    own: dict[str, Any] = {}
    for line in rate.lines:
        meters = (line.meter,) if line.meter in usage else line.also
        own |= {meter: usage[meter] for meter in meters if meter in usage}
    return own
