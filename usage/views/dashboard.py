"""The dashboard, its fragments that htmx refreshes, and the credit counter of the page header."""

from datetime import datetime, timedelta
from typing import Any

from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from accounts.access import account_page
from accounts.http import AccountRequest
from billing.notifications import monthly_budgets
from usage import live_updates, periods, selectors
from usage.dashboard import activity, aggregates, balance_summary, chart_data
from usage.dashboard.balance_summary import BalanceSummary
from usage.forecast import pace as forecast_pace
from usage.forecast import projection, supply
from usage.forecast.pace import Pace
from usage.refusals import reading

RECENT_ITEMS = 8
DASHBOARD_DAYS = 30
LARGEST_GROUPS = 6
LONGEST_FORECAST = timedelta(days=366)


@require_safe
@account_page
def dashboard(request: AccountRequest) -> HttpResponse:
    """Balance, grants, spending of the last days by day and by service, and the newest transactions."""
    now = timezone.now()
    summary = balance_summary.summarize(request.account, now)  # settles the account
    request.shown_balance = summary.balance  # type: ignore[attr-defined]  # for the page's header
    context = _spending_context(request, now)
    context |= _balance_context(request, summary, context["pace"])
    context["items"] = activity.latest(request.account, size=RECENT_ITEMS)
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
    now = timezone.now()
    summary = balance_summary.summarize(request.account, now)
    period = periods.latest_days(request.account, days=DASHBOARD_DAYS, now=now)
    pace = forecast_pace.of(aggregates.daily_totals(request.account, period))
    return render(request, "usage/_balance.html", _balance_context(request, summary, pace))


@require_safe
@account_page
def spending_fragment(request: AccountRequest) -> HttpResponse:
    """What the dashboard shows of the last days' spending: by day and by service."""
    return render(request, "usage/_spending.html", _spending_context(request, timezone.now()))


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


def _spending_context(request: AccountRequest, now: datetime) -> dict[str, Any]:
    """The pace of spending, and the charts of the days and of the services that cost most."""
    period = periods.latest_days(request.account, days=DASHBOARD_DAYS, now=now)
    days, groups = aggregates.daily_and_group_totals(
        request.account, period, dimension="service", limit=LARGEST_GROUPS
    )
    pace = forecast_pace.of(days)
    bars = chart_data.bars_of(groups, dimension="service", period=period)
    url = chart_data.usage_url("service", period)
    return {
        "pace": pace,
        "points": chart_data.points_of(days),
        "services": chart_data.with_others(bars, total=pace.total, url=url),
        "has_earlier_use": not groups and selectors.charges(request.account.pk, {}).exists(),
    }


def _balance_context(request: AccountRequest, summary: BalanceSummary, pace: Pace) -> dict[str, Any]:
    """The balance summary, the pace of spending, how long the credits last at that pace as in the
    forecast, the monthly budget, and the number of calls that were refused in the last 24 hours."""
    now = summary.balance.as_of
    days_left, credits = None, supply.of(request.account, summary.balance, now)
    if pace.per_day:
        until = now + LONGEST_FORECAST
        changes = forecast_pace.announced(request.account, now=now, until=until)
        rates = forecast_pace.rates(pace.per_day, changes, now)
        empty_at = projection.empty_at(credits, rates, now=now, until=until)
        days_left = (empty_at - now).days if empty_at else None
    own = None if request.membership.may_buy else request.user.pk
    refused = reading.number(request.account.pk, since=now - timedelta(days=1), member_id=own)
    return {
        "balance_summary": summary,
        "pace": pace,
        "days_left": days_left,
        "with_top_ups": credits.top_ups is not None,
        "budget": monthly_budgets.get(request.account.pk, now),
        "refused": refused,
    }
