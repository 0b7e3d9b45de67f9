"""Rates as text for the price list ("11 credits per 5,000 tokens").

Invariant: figures are those of the rate, not rounded.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal

from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from core.amounts import plain
from pricing.rates.meters import METERS, SINGULAR
from pricing.rates.rate import Band, Option, Rate, RateLine


def price_lines(rate: Rate, *, approximate: bool = False) -> list[str]:
    """One text for each line and band of a rate, with the multiplier of the service applied.

    `approximate`: the product calls its prices estimates, and each text begins with "~".
    """
    if rate.cost_of_model:
        return [_("Price of the selected model")]
    sentences = [price_of_band(line, band, rate.multiplier) for line in rate.lines for band in line.bands]
    if approximate:
        sentences = [f"~{sentence}" for sentence in sentences]
    if rate.minimum:
        sentences.append(_("at least %(credits)s") % {"credits": _credits(rate.minimum)})
    return sentences


def price_of_model(lowest: Decimal | None) -> str:
    """The price of an action that costs what its model costs: the lowest one, with the mark *."""
    if lowest is None:
        return _("Price of the selected model*")
    return _("from %(credits)s*") % {"credits": _credits(lowest)}


def services_only(scopes: Sequence[str], names: Mapping[str, str]) -> str:
    """What limited credits pay for, such as "Advanced and multimodal models only".

    A scope is a service key or "tag:" and a tag. `names` are what is shown for a scope.
    """
    tags = [names.get(scope, scope.removeprefix("tag:")) for scope in scopes if scope.startswith("tag:")]
    services = [names.get(scope, scope) for scope in scopes if not scope.startswith("tag:")]
    if tags:
        services.append(_("%(tags)s models") % {"tags": _listed(tags)})
    return capfirst(_("%(services)s only") % {"services": _listed(services)})


def _listed(names: Sequence[str]) -> str:
    """The names as a list: "a, b and c"."""
    if len(names) < 2:
        return "".join(names)
    return _("%(names)s and %(last)s") % {"names": _(", ").join(names[:-1]), "last": names[-1]}


def price_of_band(line: RateLine, band: Band, multiplier: Decimal) -> str:
    """One price, such as "11 credits per 5,000 tokens"."""
    many = line.per != 1
    meter = METERS[line.meter] if many else SINGULAR[line.meter]
    words = {"credits": _credits(band.credits * multiplier), "per": f"{line.per:,}", "meter": meter}
    if line.whole_blocks:
        sentence = (
            _("%(credits)s per %(per)s %(meter)s, rounded up")
            if many
            else _("%(credits)s per %(meter)s, rounded up")
        )
    else:
        sentence = _("%(credits)s per %(per)s %(meter)s") if many else _("%(credits)s per %(meter)s")
    text = sentence % words
    if band.up_to is not None:
        text = _("%(price)s, up to %(most)s") % {"price": text, "most": f"{band.up_to:,}"}
    return text


def _credits(amount: Decimal) -> str:
    return ngettext("%(credits)s credit", "%(credits)s credits", 1 if amount == 1 else 2) % {
        "credits": f"{amount.normalize():,f}"
    }


def option_choices(option: Option) -> list[tuple[str, str]]:
    """The values of an option with their multipliers ("high", "1.5"), lowest first; empty: no effect."""
    factors = sorted((option.multipliers or {}).items(), key=lambda item: item[1])
    return [(value, plain(factor)) for value, factor in factors]
