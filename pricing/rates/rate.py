"""A rate as a plain value, independent of the database.

Invariant: figures are exact Decimals; `as_json` and `from_json` are inverse to each other, so that a
stored rate prices a use years later as on its day.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from core.amounts import plain

ONE = Decimal(1)
ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Band:
    """A range of the quantity with its own figure; `up_to` None is the last one, without an end."""

    up_to: int | None
    credits: Decimal


@dataclass(frozen=True, slots=True)
class RateLine:
    """Credits for each `per` of a meter, pro rata or for each started block."""

    meter: str
    bands: tuple[Band, ...]
    per: int = 1
    whole_blocks: bool = False
    also: tuple[str, ...] = ()
    """Meters that a client may send instead; those it sends are added up."""

    @property
    def credits(self) -> Decimal:
        """The figure of the first band, which the price list shows."""
        return self.bands[0].credits


@dataclass(frozen=True, slots=True)
class Option:
    """An option of the caller: values with multipliers, or None: any value, without effect on the price."""

    multipliers: Mapping[str, Decimal] | None
    default: str = ""


@dataclass(frozen=True, slots=True)
class Rate:
    """What one service costs on one rate card."""

    service: str
    version: str
    effective_at: datetime
    lines: tuple[RateLine, ...] = ()
    minimum: Decimal = ZERO
    multiplier: Decimal = ONE
    cost_of_model: bool = False
    options: Mapping[str, Option] = field(default_factory=dict)


def lines_as_json(lines: tuple[RateLine, ...]) -> list[dict[str, Any]]:
    """The stored form of price lines: figures as text, never as floats."""
    return [
        {
            "meter": line.meter,
            "per": line.per,
            "whole_blocks": line.whole_blocks,
            "also": list(line.also),
            "bands": [{"up_to": band.up_to, "credits": plain(band.credits)} for band in line.bands],
        }
        for line in lines
    ]


def lines_from_json(stored: list[dict[str, Any]]) -> tuple[RateLine, ...]:
    return tuple(
        RateLine(
            meter=line["meter"],
            per=line["per"],
            whole_blocks=line["whole_blocks"],
            also=tuple(line["also"]),
            bands=tuple(Band(band["up_to"], Decimal(band["credits"])) for band in line["bands"]),
        )
        for line in stored
    )


def options_as_json(options: Mapping[str, Option]) -> dict[str, Any]:
    """The stored form of options; `multipliers` null is an option without effect on the price."""
    return {
        name: {
            "default": option.default,
            "multipliers": None
            if option.multipliers is None
            else {value: plain(factor) for value, factor in option.multipliers.items()},
        }
        for name, option in options.items()
    }


def options_from_json(stored: Mapping[str, Any]) -> dict[str, Option]:
    return {
        name: Option(
            default=option["default"],
            multipliers=None
            if option["multipliers"] is None
            else {value: Decimal(factor) for value, factor in option["multipliers"].items()},
        )
        for name, option in stored.items()
    }
