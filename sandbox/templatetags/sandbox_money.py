"""Template filters of the sandbox: amounts in minor units, and Unix seconds."""

from datetime import UTC, datetime
from decimal import Decimal

from babel.numbers import format_currency, get_currency_precision
from django import template
from django.utils.translation import get_language

register = template.Library()


@register.filter
def money(minor: int | None, currency: str) -> str:
    """`1050|money:"eur"` as €10.50; zero-decimal currencies have no decimals."""
    code = (currency or "usd").upper()
    amount = Decimal(minor or 0).scaleb(-get_currency_precision(code))
    return str(format_currency(amount, code, locale=(get_language() or "en").replace("-", "_")))


@register.filter
def instant(seconds: int | None) -> datetime | None:
    """Unix seconds as a datetime for the `date` filter."""
    return None if seconds is None else datetime.fromtimestamp(seconds, tz=UTC)
