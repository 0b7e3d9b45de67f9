"""Totals in the form that charts take: labelled points, and named bars that link to their charges.

Invariant: the figures are those of `usage.dashboard.aggregates`, unchanged.
"""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from django.urls import reverse
from django.utils import formats
from django.utils.text import capfirst
from django.utils.translation import gettext as _

from pricing.catalogue import texts
from usage.dashboard.aggregates import GroupTotal, Series, column_value
from usage.periods import Period


def points_of(days: Sequence[tuple[date, Decimal]]) -> list[tuple[str, Decimal]]:
    """One point for each day, labelled such as `20 Nov`."""
    return [(formats.date_format(day, "MONTH_DAY_FORMAT"), credits) for day, credits in days]


def stacked(
    series: Series, before: Series, groups: Sequence[GroupTotal], *, dimension: str
) -> dict[str, Any]:
    """The points of a chart, their parts (groups with values in the series, and the rest), earlier period."""
    named = {column_value(dimension, group.key): name_of(group, dimension) for group in groups}
    parts = [(named.get(value, str(value)), credits) for value, credits in series.parts.items()]
    if parts:
        sums = [sum(column, Decimal(0)) for column in zip(*series.parts.values(), strict=True)]
        rest = [total - known for total, known in zip(series.totals, sums, strict=True)]
        parts += [(_("Other"), rest)] if any(rest) else []
    return {"points": points_of_series(series), "parts": parts, "previous": before.totals}


def points_of_series(series: Series) -> list[tuple[str, Decimal]]:
    """One point for each day or hour."""
    return [(_slot(label), total) for label, total in zip(series.labels, series.totals, strict=True)]


def _slot(label: date | int) -> str:
    return f"{label:02d}:00" if isinstance(label, int) else formats.date_format(label, "MONTH_DAY_FORMAT")


def name_of(group: GroupTotal, dimension: str) -> str:
    return group.name or group.key or label_without_value(dimension)


def tabs() -> dict[str, str]:
    """Labels of the dimensions. The catalogue may name projects differently, for example "server"."""
    return {
        "service": _("Service"),
        "project": capfirst(texts.project_word()),
        "conversation": _("Conversation"),
        "member": _("Member"),
        "api_key": _("API key"),
    }


def titles() -> dict[str, str]:
    """Headings of the totals by each dimension."""
    return {
        "service": _("By service"),
        "project": _("By %(project)s") % {"project": texts.project_word()},
        "conversation": _("By conversation"),
        "member": _("By member"),
        "api_key": _("By API key"),
    }


def label_without_value(dimension: str) -> str:
    """The label of charges without a project, conversation, member or account key."""
    return {
        "project": _("No %(project)s") % {"project": texts.project_word()},
        "conversation": _("No conversation"),
        "member": _("Platform API keys"),
        "api_key": _("Without account API key"),
    }.get(dimension, _("Unknown"))


def bars_of(
    groups: Sequence[GroupTotal], *, dimension: str, period: Period, linked: bool = True
) -> list[dict[str, Any]]:
    """One bar for each group. With `linked`, a bar links to the group's charges on the usage page."""
    largest = max((group.credits for group in groups), default=Decimal(0))
    return [
        {
            "name": name_of(group, dimension),
            "credits": group.credits,
            "share": f"{group.credits * 100 / largest:.1f}" if largest else "0",
            "calls": group.calls,
            "last_at": group.last_at,
            "url": usage_url(dimension, period, only=group.key) if group.key and linked else "",
        }
        for group in groups
    ]


def with_others(bars: list[dict[str, Any]], *, total: Decimal, url: str = "") -> list[dict[str, Any]]:
    """The bars, and one more for what they leave of the total, if anything."""
    rest = total - sum((bar["credits"] for bar in bars), Decimal(0))
    return [*bars, {"name": _("Other"), "credits": rest, "url": url}] if rest > 0 else bars


def usage_url(dimension: str, period: Period, *, only: str = "") -> str:
    """The usage page of a period by a dimension; `only`: the charges of one of its groups."""
    days = {"since": period.first.isoformat(), "until": period.last.isoformat()}
    group = {"only": only} if only else {}
    return f"{reverse('usage')}?{urlencode({'by': dimension, **group, **days})}"
