"""Money for people: minor units and a currency, formatted for the locale."""

from decimal import Decimal

from babel.numbers import format_currency, get_currency_precision
from django import template
from django.utils.translation import get_language, to_locale

register = template.Library()


@register.filter
def money(minor_units: int | None, currency: str) -> str:
    """`{{ amount|money:currency }}`: 1050 and "usd" become $10.50, 500 and "jpy" become ¥500."""
    if minor_units is None or not currency:
        return ""
    code = currency.upper()
    amount = Decimal(minor_units).scaleb(-get_currency_precision(code))
    return format_currency(amount, code, locale=to_locale(get_language() or "en"))


@register.filter
def money_each(major_units: Decimal | None, currency: str) -> str:
    """The price of one credit, often a fraction of a cent: `$0.008`, `$0.00333`, `$1.50`.

    Three significant digits, never fewer decimals than the currency has.
    """
    if major_units is None or not currency:
        return ""
    code, amount = currency.upper(), Decimal(major_units)
    precision = get_currency_precision(code)
    shown = max(precision, 2 - amount.adjusted()) if amount else precision
    pattern = "¤#,##0." + "0" * precision + "#" * (shown - precision)
    locale = to_locale(get_language() or "en")
    return format_currency(amount, code, format=pattern.rstrip("."), locale=locale, currency_digits=False)
