"""Validation of a use against a rate.

Invariant: the result is finite, non-negative Decimals in meters that the rate prices; everything else raises
UsageInvalid with the field, the error and how to correct it.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from django.utils.translation import gettext as _

from core.amounts import plain
from core.errors import Refusal
from pricing.rates import meters
from pricing.rates.rate import Option, Rate, RateLine


class UsageInvalid(Refusal):
    """The use cannot be priced (400): the invalid `field`, a `code`, and a `message` for people."""

    status = 400

    def __init__(self, field: str, code: str, message: str) -> None:
        super().__init__(message)
        self.field = field
        self.code = code
        self.message = message


def counted(
    rate: Rate, usage: Mapping[str, Any], *, zero_allowed: bool = False
) -> list[tuple[RateLine, Decimal]]:
    """Each line of the rate with its quantity, in the order of the rate.

    With `zero_allowed` every quantity may be zero, and a usage without meters is one of zero. Raises
    UsageInvalid for unknown, missing or duplicate meters, invalid quantities, and else for a use of zero.
    """
    if zero_allowed and not usage:
        usage = {line.meter: 0 for line in rate.lines if line.meter not in meters.OPTIONAL}
    remaining = {meter: _quantity(meter, value) for meter, value in usage.items()}
    pairs = []
    for line in rate.lines:
        quantity = _taken(line, remaining)
        if quantity is not None:
            pairs.append((line, quantity))
    for name in remaining:
        meter = _printable(name)
        raise UsageInvalid(
            f"usage.{meter}",
            "unknown_meter",
            _("%(service)s is not priced by %(meter)s. It counts: %(meters)s.")
            % {"service": rate.service, "meter": meter, "meters": ", ".join(accepted_meters(rate))},
        )
    if not zero_allowed and not any(quantity for _line, quantity in pairs):
        raise UsageInvalid(
            "usage",
            "nothing_used",
            _("Every quantity is zero. Send at least one quantity above zero."),
        )
    return pairs


def accepted_meters(rate: Rate) -> list[str]:
    """All meters that a use of this rate may have."""
    names: list[str] = []
    for line in rate.lines:
        names += [name for name in (line.meter, *line.also) if name not in names]
    return names


def _taken(line: RateLine, remaining: dict[str, Decimal]) -> Decimal | None:
    """The quantity of the line, removed from the rest; None if it is optional and absent."""
    parts = [name for name in line.also if name in remaining]
    if line.meter in remaining:
        if parts:
            raise UsageInvalid(
                f"usage.{parts[0]}",
                "counted_twice",
                _("%(part)s is part of %(meter)s. Send only one of them.")
                % {"part": parts[0], "meter": line.meter},
            )
        return remaining.pop(line.meter)
    if parts:
        return sum((remaining.pop(name) for name in parts), Decimal(0))
    if line.meter in meters.OPTIONAL:
        return None
    raise UsageInvalid(
        f"usage.{line.meter}",
        "required",
        _("The price depends on %(meter)s. Send this quantity, even if it is 0.") % {"meter": line.meter},
    )


def _quantity(name: str, value: Any) -> Decimal:
    meter = _printable(name)
    if isinstance(value, bool) or not isinstance(value, int | Decimal | float):
        raise UsageInvalid(f"usage.{meter}", "not_a_number", _("A quantity must be a number, such as 1200."))
    # A float from a JSON parser: its shortest text is what the client wrote.
    exact = Decimal(str(value)) if isinstance(value, float) else Decimal(value)
    if not exact.is_finite():
        raise UsageInvalid(
            f"usage.{meter}", "not_a_number", _("A quantity must be a finite number, such as 1200.")
        )
    if exact < 0:
        raise UsageInvalid(
            f"usage.{meter}",
            "negative",
            _("A quantity cannot be negative. Reverse the charge to return credits."),
        )
    if exact > meters.LARGEST_QUANTITY:
        raise UsageInvalid(
            f"usage.{meter}",
            "too_large",
            _("The largest quantity of one use is %(most)s.") % {"most": plain(meters.LARGEST_QUANTITY)},
        )
    if meter not in meters.FRACTIONAL and exact != exact.to_integral_value():
        raise UsageInvalid(f"usage.{meter}", "fractional", _("Send a whole number for this meter."))
    if meter in meters.FRACTIONAL and exact != exact.quantize(Decimal("0.000001")):
        raise UsageInvalid(f"usage.{meter}", "fractional", _("Send at most six decimals."))
    return exact


def _printable(name: str) -> str:
    """A client's text, shortened and escaped for use in a response."""
    return name[:60].encode("ascii", "backslashreplace").decode()


def chosen(options: Mapping[str, Option], choices: Mapping[str, Any]) -> dict[str, Decimal]:
    """The multipliers of the chosen values, by "option=value". Raises UsageInvalid for unknown ones."""
    factors: dict[str, Decimal] = {}
    for name, value in choices.items():
        option = options.get(name)
        if option is None:
            raise UsageInvalid(
                f"options.{_printable(name)}",
                "unknown_option",
                _("This service does not have this option. Available options: %(options)s.")
                % {"options": ", ".join(options) or _("none")},
            )
        if isinstance(value, bool) or not isinstance(value, str | int) or len(str(value)) > 100:
            raise UsageInvalid(
                f"options.{name}", "invalid", _("The value of an option must be a short text.")
            )
        if option.multipliers is None:
            continue
        if value not in option.multipliers:
            raise UsageInvalid(
                f"options.{name}",
                "unknown_value",
                _("This value is not available. Choose one of: %(choices)s.")
                % {"choices": ", ".join(option.multipliers)},
            )
        factors[f"{name}={value}"] = option.multipliers[str(value)]
    for name, option in options.items():
        # A default with a multiplier applies even if the caller chose no value.
        if name not in choices and option.multipliers and option.multipliers[option.default] != 1:
            factors[f"{name}={option.default}"] = option.multipliers[option.default]
    return factors
