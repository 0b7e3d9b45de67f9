"""Differences between the rates of two cards, for staff.

Invariant: two rates without a difference price every use alike.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal

from django.utils.text import capfirst
from django.utils.translation import gettext as _

from core.amounts import plain
from pricing.catalogue.cache import ServiceFacts
from pricing.rates import presentation
from pricing.rates.meters import METERS
from pricing.rates.rate import Band, Option, Rate, RateLine


@dataclass(frozen=True, slots=True)
class Difference:
    """One changed figure of a service. `percent`: by how much it rises; None where that means nothing."""

    key: str
    service: str
    what: str
    old: str
    new: str
    percent: Decimal | None = None


def between(
    old: Mapping[str, Rate], new: Mapping[str, Rate], services: Mapping[str, ServiceFacts]
) -> list[Difference]:
    """The differences of all services, in the order of the catalogue."""
    known = [key for key in services if key in old or key in new]
    return [difference for key in known for difference in _of(services[key], old.get(key), new.get(key))]


def _of(service: ServiceFacts, old: Rate | None, new: Rate | None) -> Iterator[Difference]:
    def difference(
        what: str, before: str, after: str, percent: Decimal | None = None
    ) -> Iterator[Difference]:
        if before != after:
            yield Difference(service.key, service.name, what, before, after, percent)

    if old is None or new is None or old.cost_of_model != new.cost_of_model:
        yield from difference(_("Price"), _whole(old), _whole(new))
        return
    before, after = _steps(old), _steps(new)
    for key in dict.fromkeys([*before, *after]):
        yield from difference(
            capfirst(str(METERS[key[0]])),
            _step(old, before.get(key)),
            _step(new, after.get(key)),
            _percent(old, before.get(key), new, after.get(key)),
        )
    percent = (new.minimum / old.minimum - 1) * 100 if old.minimum else None
    yield from difference(_("Minimum"), plain(old.minimum), plain(new.minimum), _one_place(percent))
    yield from difference(_("Also accepted"), _also(old), _also(new))
    for name in dict.fromkeys([*old.options, *new.options]):
        yield from difference(name, _option(old.options.get(name)), _option(new.options.get(name)))


def _whole(rate: Rate | None) -> str:
    return _("no price") if rate is None else "; ".join(presentation.price_lines(rate))


def _steps(rate: Rate) -> dict[tuple[str, int | None], tuple[RateLine, Band]]:
    return {(line.meter, band.up_to): (line, band) for line in rate.lines for band in line.bands}


def _step(rate: Rate, step: tuple[RateLine, Band] | None) -> str:
    return _("no price") if step is None else presentation.price_of_band(*step, rate.multiplier)


def _percent(
    old: Rate, before: tuple[RateLine, Band] | None, new: Rate, after: tuple[RateLine, Band] | None
) -> Decimal | None:
    if before is None or after is None or not before[1].credits:
        return None
    each_before = before[1].credits * old.multiplier / before[0].per
    return _one_place((after[1].credits * new.multiplier / after[0].per / each_before - 1) * 100)


def _one_place(percent: Decimal | None) -> Decimal | None:
    return None if percent is None else percent.quantize(Decimal("0.1"))


def _also(rate: Rate) -> str:
    return "; ".join(", ".join(sorted(line.also)) for line in rate.lines if line.also) or "–"


def _option(option: Option | None) -> str:
    if option is None:
        return "–"
    if option.multipliers is None:
        return _("any value, without effect on the price")
    default = option.default
    return ", ".join(
        f"{value} × {factor}" + (f" ({_('default')})" if value == default else "")
        for value, factor in presentation.option_choices(option)
    )
