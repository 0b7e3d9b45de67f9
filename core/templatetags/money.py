"""Money as people read it: minor units and a currency, written the way of the locale."""

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
    """The price of one credit, often a fraction of a cent: with three significant digits."""
    if major_units is None or not currency:
        return ""
    code = currency.upper()
    digits = max(get_currency_precision(code), 2 - Decimal(major_units).adjusted())
    pattern = "¤#,##0" + ("." + "0" * min(digits, 6) if digits > 0 else "")
    locale = to_locale(get_language() or "en")
    return format_currency(
        Decimal(major_units), code, format=pattern, locale=locale, currency_digits=False
    )
