"""Money for people: minor units and a currency, formatted for the locale.

Invariant: the decimals are those of Stripe's minor units (core.currencies), not those of the locale's data.
"""

import re
from decimal import Decimal

from babel import Locale
from babel.numbers import format_currency
from django import template
from django.utils.translation import get_language, to_locale

from core import currencies

register = template.Library()


@register.filter
def money(minor_units: int | None, currency: str) -> str:
    """`{{ amount|money:currency }}`: 1050 and "usd" become $10.50, 500 and "jpy" become ¥500."""
    if minor_units is None or not currency:
        return ""
    shown = currencies.decimals_shown(currency)
    return _format(currencies.to_major(minor_units, currency), currency, "0" * shown)


@register.filter
def money_each(major_units: Decimal | None, currency: str) -> str:
    """The price of one credit, often a fraction of a cent: `$0.008`, `$0.00333`, `$1.50`.

    Three significant digits, never fewer decimals than the currency has.
    """
    if major_units is None or not currency:
        return ""
    amount = Decimal(major_units)
    precision = currencies.decimals_shown(currency)
    shown = max(precision, 2 - amount.adjusted()) if amount else precision
    return _format(amount, currency, "0" * precision + "#" * (shown - precision))


def _format(amount: Decimal, currency: str, decimals: str) -> str:
    """The amount in the locale's pattern, with decimals as in a number pattern: "00", "00###", ""."""
    locale = to_locale(get_language() or "en")
    pattern = Locale.parse(locale).currency_formats["standard"].pattern
    pattern = re.sub(r"\.0+", f".{decimals}" if decimals else "", pattern)
    return format_currency(amount, currency.upper(), format=pattern, locale=locale, currency_digits=False)
