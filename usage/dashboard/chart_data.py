"""Sums in the shape the charts want: labelled points, named bars with a link to what lies behind them.

Invariant: the figures are those of `usage.dashboard.statistics`, untouched.
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

from pricing.catalogue import cache as catalogue_cache
from usage.dashboard.statistics import Part, Period


def points_of(days: Sequence[tuple[date, Decimal]]) -> list[tuple[str, Decimal]]:
    """A point for each day, labelled `20 Nov`."""
    return [(formats.date_format(day, "j M"), amount) for day, amount in days]


def tabs() -> dict[str, str]:
    """By what use is taken apart, in the product's words (a project may be called a server)."""
    wording = catalogue_cache.current().wording
    return {
        "service": _("Service"),
        "project": capfirst(wording.project) if wording else _("Project"),
        "conversation": _("Conversation"),
        "member": _("Member"),
        "api_key": _("API key"),
    }


def titles() -> dict[str, str]:
    """The heading over the sums of each."""
    wording = catalogue_cache.current().wording
    return {
        "service": _("By service"),
        "project": _("By %(project)s") % {"project": wording.project if wording else _("project")},
        "conversation": _("By conversation"),
        "member": _("By member"),
        "api_key": _("By API key"),
    }


def unnamed(dimension: str) -> str:
    """What use is called that has no project, conversation, member or key."""
    wording = catalogue_cache.current().wording
    return {
        "project": _("No %(project)s") % {"project": wording.project if wording else _("project")},
        "conversation": _("No conversation"),
        "member": _("Platform API keys"),
        "api_key": _("Without account API key"),
    }.get(dimension, _("Unknown"))


def bars_of(
    parts: Sequence[Part], *, dimension: str, period: Period, linked: bool = True
) -> list[dict[str, Any]]:
    """A bar for each part; its link shows the calls behind it, unless the page shows a part of them only."""
    most = max((part.credits for part in parts), default=Decimal(0))
    days = {"since": period.first.isoformat(), "until": period.last.isoformat()}
    return [
        {
            "name": part.name or part.key or unnamed(dimension),
            "credits": part.credits,
            "share": f"{part.credits * 100 / most:.1f}" if most else "0",
            "calls": part.calls,
            "last_at": part.last_at,
            "url": f"{reverse('usage')}?{urlencode({'by': dimension, 'only': part.key, **days})}"
            if part.key and linked
            else "",
        }
        for part in parts
    ]
