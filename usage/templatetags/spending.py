"""The template tag `month_breakdown`: what was spent this month, by service and by project."""

from decimal import Decimal
from typing import Any

from django import template
from django.utils import timezone

from accounts.models import Account
from usage import periods
from usage.dashboard import aggregates, chart_data

register = template.Library()
_LARGEST = 6


@register.inclusion_tag("usage/_month_breakdown.html")
def month_breakdown(account: Account) -> dict[str, Any]:
    """Totals of the account's local calendar month, with the rest of each dimension as one bar."""
    period = periods.month_to_date(account, now=timezone.now())
    days = aggregates.daily_totals(account, period)
    total = sum((credits for _day, credits in days), Decimal(0))
    titles = chart_data.titles()
    parts = []
    for dimension in ("service", "project"):
        groups = aggregates.group_totals(account, period, dimension=dimension, limit=_LARGEST)
        bars = chart_data.bars_of(groups, dimension=dimension, period=period)
        url = chart_data.usage_url(dimension, period)
        parts.append((titles[dimension], chart_data.with_others(bars, total=total, url=url)))
    return {"total": total, "parts": parts, "url": chart_data.usage_url("service", period)}
