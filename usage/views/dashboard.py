"""Where an account sees its credits: dashboard, usage, one charge. Doors only; reads are elsewhere."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from accounts.access import account_page
from accounts.http import AccountRequest
from usage.charges import charge_list
from usage.dashboard import activity, balance_summary, chart_data, statistics
from usage.views import charge_table
from usage.views.forms import UsageForm

RECENT = 8
DASHBOARD_DAYS = 30


@require_safe
@account_page
def dashboard(request: AccountRequest) -> HttpResponse:
    now = timezone.now()
    period = statistics.latest_days(request.account, days=DASHBOARD_DAYS, now=now)
    parts = statistics.parts_of(request.account, period, dimension="service", limit=6)
    balance = _balance_of(request, now)
    context = {
        **balance,
        "points": chart_data.points_of(balance["days"]),
        "services": chart_data.bars_of(parts, dimension="service", period=period),
        "items": activity.latest(request.account, size=RECENT),
    }
    return render(request, "usage/dashboard.html", context)


def _balance_of(request: AccountRequest, now: datetime) -> dict[str, Any]:
    """What the dashboard's balance shows: how the account stands, and how fast its credits go."""
    stands = balance_summary.standing_of(request.account, now)
    days = statistics.by_day(
        request.account, statistics.latest_days(request.account, days=DASHBOARD_DAYS, now=now)
    )
    pace = balance_summary.pace_of(days, available=stands.balance.available)
    return {"standing": stands, "days": days, "pace": pace}


@require_safe
@never_cache
@account_page
def counter(request: AccountRequest) -> HttpResponse:
    """The credit counter's figure; 204 while the wallet stands as the page has seen it."""
    seen = request.GET.get("seen", "")
    if seen and seen == balance_summary.version_of(request.account, timezone.now()):
        return HttpResponse(status=204)
    response = render(request, "_credit_update.html")
    response["HX-Trigger"] = "balance-changed"
    return response


@require_safe
@never_cache
@account_page
def balance_part(request: AccountRequest) -> HttpResponse:
    """The dashboard's balance, again."""
    return render(request, "usage/_balance.html", _balance_of(request, timezone.now()))


@require_safe
@never_cache
@account_page
def activity_part(request: AccountRequest) -> HttpResponse:
    """The dashboard's newest transactions, again; those after `since` are marked as new."""
    now = timezone.now()
    balance_summary.settle(request.account, now)
    since = request.GET.get("since", "")
    context = {
        "items": activity.latest(request.account, size=RECENT),
        "since": int(since[:18]) if since.isdecimal() else None,
    }
    return render(request, "usage/_activity.html", context)


@require_safe
@account_page
def usage(request: AccountRequest) -> HttpResponse:
    """Who and what took credits in a range of days, and the calls behind it."""
    form = UsageForm(request.GET or None, account=request.account, now=timezone.now())
    period, wanted = form.period, form.wanted
    if rows := charge_table.rows_asked_for(request, form, wanted):
        return rows
    page = charge_list.page_of(request.account, period, wanted, after=request.GET.get("before", ""))
    tabs = chart_data.tabs()
    days = statistics.by_day(request.account, period, **wanted)
    parts = statistics.parts_of(request.account, period, dimension=form.dimension)
    context = {
        "form": form,
        "period": period,
        "points": chart_data.points_of(days),
        "parts": chart_data.bars_of(parts, dimension=form.dimension, period=period),
        "parts_title": chart_data.titles()[form.dimension],
        "only_name": next((part.name for part in parts if part.key == form.chosen), form.chosen),
        "tabs": [{"key": key, "label": label} for key, label in tabs.items()],
        "project_label": tabs["project"],
        "days_query": form.days_query,
        "total": sum((amount for _day, amount in days), Decimal(0)),
        "page": page,
        "cursor": request.GET.get("before", ""),
        "query": form.query,
    }
    return render(request, "usage/usage.html", context)
