"""Quotes: the price of a use, computed from (rate, usage, options), with the lines that explain it. Pure.

Invariants: exact until the end, then rounded once, half up, to six places (core.amounts); more usage never
costs less; the lines of a quote add up to its credits to the last digit.
"""

from collections.abc import Mapping
from datetime import datetime
from decimal import Context, Decimal
from functools import lru_cache
from typing import Annotated, Any, Literal, NamedTuple, NotRequired, TypedDict

from django.utils.translation import gettext as _

from core.amounts import LARGEST, plain, rounded
from core.json_types import CreditsText, TimeText
from pricing.rates.meters import METERS
from pricing.rates.rate import ONE, ZERO, Rate, RateLine
from pricing.rates.validation import UsageInvalid, chosen, counted

# 60 digits: the product of any allowed quantity, figure and multipliers is exact, and the error of a division
# is far below the sixth place. Our own context, independent of the settings of other code.
_EXACT = Context(prec=60)


Meter = Annotated[str, Literal[tuple(METERS)]]
LineMeter = Annotated[
    str, Literal[(*METERS, "minimum")], "`minimum`: what a price below the minimum is raised by."
]


class Line(TypedDict):
    """One line of a price: quantity, unit price and multipliers."""

    meter: LineMeter
    quantity: Annotated[int | str, "A number; a string if it has a fraction."]
    unit_credits: CreditsText
    per: int
    multipliers: dict[str, CreditsText]
    credits: CreditsText
    blocks: NotRequired[Annotated[int, "Number of blocks, where each block begun is charged whole."]]


class RateVersion(TypedDict):
    version: str
    effective_at: TimeText


class QuoteLine(NamedTuple):
    """One line of the sum: quantity / per x unit_credits x multipliers = credits (rounded for display)."""

    meter: str
    quantity: Decimal
    unit_credits: Decimal
    per: int
    multipliers: Mapping[str, Decimal]
    credits: Decimal
    blocks: int | None = None
    """Begun blocks that were counted, where a price counts whole blocks."""

    def as_json(self) -> Line:
        whole = self.quantity == self.quantity.to_integral_value()
        line: Line = {
            "meter": self.meter,
            "quantity": int(self.quantity) if whole else plain(self.quantity),
            "unit_credits": plain(self.unit_credits),
            "per": self.per,
            "multipliers": {name: plain(factor) for name, factor in self.multipliers.items()},
            "credits": plain(self.credits),
        }
        if self.blocks is not None:
            line["blocks"] = self.blocks
        return line


class Quote(NamedTuple):
    """A use with its price in `credits`; `maximum` is the upper end of an estimate, otherwise the same."""

    service: str
    action: str
    credits: Decimal
    maximum: Decimal
    lines: tuple[QuoteLine, ...]
    rate_version: str
    rate_effective_at: datetime
    covers: tuple[str, ...] = ()
    """What a limited grant may name to pay for this use: keys of service and action, and their "tag:…"."""
    counts: tuple[str, int] | None = None
    """The plan's quota that this use counts against, and by how much; None: no quota."""
    approximate: bool = False

    def lines_as_json(self) -> list[Line]:
        return [line.as_json() for line in self.lines]

    def rate_as_json(self) -> RateVersion:
        return {"version": self.rate_version, "effective_at": _moment(self.rate_effective_at)}


@lru_cache(maxsize=100)
def _moment(effective_at: datetime) -> str:
    return effective_at.strftime("%Y-%m-%dT%H:%M:%SZ")


def quote(
    rate: Rate,
    usage: Mapping[str, Any],
    options: Mapping[str, Any] | None = None,
    *,
    action: Rate | None = None,
    zero_allowed: bool = False,
) -> Quote:
    """The price of one use.

    `rate` is that of the service; `action` that of the action done with it, which has its own price or that
    of the model. Quantities are counts of meters (seconds may have a fraction). With `zero_allowed` a use of
    zero costs nothing, without the rate's minimum.
    Raises UsageInvalid.
    """
    priced, factors = _what_is_priced(rate, action)
    factors |= chosen(priced.options, options or {})
    pairs = counted(priced, usage, zero_allowed=zero_allowed)
    exact_lines = [exact for line, quantity in pairs for exact in _priced(line, quantity, factors)]
    total = ZERO
    for _line, exact in exact_lines:
        total = _EXACT.add(total, exact)
    if total < priced.minimum and any(quantity for _line, quantity in pairs):
        missing = _EXACT.subtract(priced.minimum, total)
        floor = QuoteLine("minimum", ONE, rounded(missing), 1, {}, ZERO)
        exact_lines.append((floor, missing))
    lines = _adding_up(exact_lines)
    credits = sum((line.credits for line in lines), ZERO)
    return Quote(
        service=rate.service,
        action=action.service if action else "",
        credits=credits,
        maximum=credits,
        lines=lines,
        rate_version=priced.version,
        rate_effective_at=priced.effective_at,
    )


def _what_is_priced(rate: Rate, action: Rate | None) -> tuple[Rate, dict[str, Decimal]]:
    """The rate whose lines apply, and the multipliers before those of options."""
    if rate.cost_of_model:
        raise UsageInvalid(
            "service",
            "model_required",
            _("%(action)s costs what its model costs. Send the model as service and %(action)s as action.")
            % {"action": rate.service},
        )
    if action is not None and not action.cost_of_model:
        rate, action = action, None
    factors = {}
    if rate.multiplier != 1:
        factors[f"service={rate.service}"] = rate.multiplier
    if action is not None and action.multiplier != 1:
        factors[f"action={action.service}"] = action.multiplier
    return rate, factors


def _priced(
    line: RateLine, quantity: Decimal, factors: Mapping[str, Decimal]
) -> list[tuple[QuoteLine, Decimal]]:
    """The steps of the line, one for each band that the quantity reaches, with exact credits."""
    steps: list[tuple[QuoteLine, Decimal]] = []
    band_start = ZERO
    for band in line.bands:
        reached = quantity if band.up_to is None else min(quantity, Decimal(band.up_to))
        inside = _EXACT.subtract(reached, band_start)
        blocks = _begun_blocks(inside, line.per) if line.whole_blocks else None
        credits = _EXACT.multiply(inside if blocks is None else Decimal(blocks * line.per), band.credits)
        for factor in factors.values():
            credits = _EXACT.multiply(credits, factor)
        credits = _EXACT.divide(credits, Decimal(line.per))
        shown = QuoteLine(line.meter, inside, band.credits, line.per, factors, ZERO, blocks)
        steps.append((shown, credits))
        if reached == quantity:
            break
        band_start = reached
    return steps


def _begun_blocks(quantity: Decimal, per: int) -> int:
    whole, rest = divmod(quantity, per)
    return int(whole) + (1 if rest else 0)


def _adding_up(exact_lines: list[tuple[QuoteLine, Decimal]]) -> tuple[QuoteLine, ...]:
    """Lines with six-place credits whose sum is the total rounded once.

    Each line gets the increase of the rounded running total.
    """
    lines = []
    exact_total = shown_total = ZERO
    for line, exact in exact_lines:
        exact_total = _EXACT.add(exact_total, exact)
        grown = _rounded(exact_total) - shown_total
        shown_total += grown
        lines.append(line._replace(credits=grown))
    return tuple(lines)


def _rounded(value: Decimal) -> Decimal:
    """core.amounts.rounded; raises UsageInvalid for more than the largest amount of a charge."""
    if value > LARGEST:
        message = _("The usage costs more than the largest amount of one charge, %(largest)s credits.")
        raise UsageInvalid("usage", "too_large", message % {"largest": plain(LARGEST)})
    return rounded(value)
