"""Template filters for rates as text."""

from collections.abc import Sequence
from decimal import Decimal

from django import template
from django.utils.translation import gettext as _

from core.amounts import plain
from pricing.catalogue import cache as catalogue_cache
from pricing.catalogue import texts
from pricing.rates import presentation
from pricing.rates.meters import METERS, SINGULAR
from pricing.rates.quotes import QuoteLine
from pricing.rates.rate import Option, Rate
from pricing.selectors import PricedService

register = template.Library()


@register.filter
def price_lines(priced: PricedService | Rate) -> list[str]:
    """The price of a service, or one of its earlier and later prices, as text."""
    rate = priced.rate if isinstance(priced, PricedService) else priced
    if rate is None:
        return []
    if isinstance(priced, PricedService) and rate.cost_of_model:
        return [presentation.price_of_model(priced.lowest)]
    wording = catalogue_cache.current().wording
    return presentation.price_lines(rate, approximate=wording is not None and wording.approximate_prices)


@register.simple_tag
def tax_note() -> str:
    """Whether tax is added to the prices of the page; empty when the catalogue configures none."""
    tax = catalogue_cache.current().policies.tax
    if tax is None:
        return ""
    return _("Added at checkout") if tax.behavior == "exclusive" else _("Included in the price")


@register.filter
def choices(option: Option) -> list[tuple[str, str]]:
    return presentation.option_choices(option)


@register.filter
def services_only(scopes: Sequence[str]) -> str:
    """What credits of these scopes pay for: "Advanced and multimodal models only"."""
    services = catalogue_cache.current().services
    names = {
        scope: texts.translated(services[scope].name if scope in services else scope.removeprefix("tag:"))
        for scope in scopes
    }
    return presentation.services_only(scopes, names)


@register.filter
def sum_of(line: QuoteLine) -> str:
    """The line as a calculation: quantity / per x figure x multipliers."""
    quantity = line.quantity if line.blocks is None else Decimal(line.blocks * line.per)
    meters = SINGULAR if quantity == 1 else METERS
    words = [f"{Decimal(plain(quantity)):,f} {meters.get(line.meter, line.meter)}"]
    if line.per != 1:
        words.append(f"÷ {line.per:,}")
    words.append(f"× {plain(line.unit_credits)}")
    words += [f"× {plain(factor)} ({multiplier_name(name)})" for name, factor in line.multipliers.items()]
    return " ".join(words)


@register.filter
def multiplier_name(multiplier: str) -> str:
    """The name of a multiplier: a service, an action, an option with its value, or a name alone."""
    kind, separator, value = multiplier.partition("=")
    if not separator:
        return texts.translated(multiplier)
    if kind in ("service", "action"):
        service = catalogue_cache.current().services.get(value)
        return texts.translated(service.name) if service else value
    terms = {"option": texts.translated(kind), "value": texts.translated(value)}
    return _("%(option)s: %(value)s") % terms
