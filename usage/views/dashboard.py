"""The dashboard, its fragments that htmx refreshes, and the credit counter of the page header."""

from datetime import datetime
from typing import Any

from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from accounts.access import account_page
from accounts.http import AccountRequest
from usage import live_updates, periods
from usage.dashboard import activity, aggregates, balance_summary, chart_data
from usage.periods import Period

RECENT_ITEMS = 8
DASHBOARD_DAYS = 30


@require_safe
@account_page
def dashboard(request: AccountRequest) -> HttpResponse:
    """Balance, grants, spending of the last days by day and by service, and the newest transactions."""
    now = timezone.now()
    period = _period(request, now)
    groups = aggregates.group_totals(request.account, period, dimension="service", limit=6)
    balance = _balance_context(request, now)
    context = {
        **balance,
        "points": chart_data.points_of(balance["days"]),
        "services": chart_data.bars_of(groups, dimension="service", period=period),
        "items": activity.latest(request.account, size=RECENT_ITEMS),
    }
    return render(request, "usage/dashboard.html", context)


@require_safe
@account_page
def counter(request: AccountRequest) -> HttpResponse:
    """The credit counter; 204 while the account still has the version `seen` that the page shows."""
    seen = request.GET.get("seen", "")
    if seen and seen == live_updates.version_of(request.account.pk, timezone.now()):
        return HttpResponse(status=204)
    response = render(request, "_credit_update.html")
    response["HX-Trigger"] = "balance-changed"
    return response


@require_safe
@account_page
def balance_fragment(request: AccountRequest) -> HttpResponse:
    """The balance section of the dashboard."""
    return render(request, "usage/_balance.html", _balance_context(request, timezone.now()))


@require_safe
@account_page
def activity_fragment(request: AccountRequest) -> HttpResponse:
    """The newest transactions of the dashboard; those after `since` (in microseconds) are marked as new."""
    balance_summary.settle(request.account, timezone.now())
    since = request.GET.get("since", "")
    context = {
        "items": activity.latest(request.account, size=RECENT_ITEMS),
        "since": int(since[:18]) if since.isdecimal() else None,
    }
    return render(request, "usage/_activity.html", context)


def _period(request: AccountRequest, now: datetime) -> Period:
    return periods.latest_days(request.account, days=DASHBOARD_DAYS, now=now)


def _balance_context(request: AccountRequest, now: datetime) -> dict[str, Any]:
    """The balance summary, the daily totals, and the pace at which credits are spent."""
    summary = balance_summary.summarize(request.account, now)
    days = aggregates.daily_totals(request.account, _period(request, now))
    pace = balance_summary.pace_of(days, available=summary.balance.available)
    return {"balance_summary": summary, "days": days, "pace": pace}
