"""Template filters of the sandbox: amounts in minor units, and Unix seconds."""

from datetime import UTC, datetime

from django import template

from core.templatetags import money as product_money

register = template.Library()


@register.filter
def money(minor: int | None, currency: str) -> str:
    """`1050|money:"eur"` as €10.50; zero-decimal currencies have no decimals."""
    return str(product_money.money(minor or 0, currency or "usd"))


@register.filter
def instant(seconds: int | None) -> datetime | None:
    """Unix seconds as a datetime for the `date` filter."""
    return None if seconds is None else datetime.fromtimestamp(seconds, tz=UTC)
