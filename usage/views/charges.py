"""Pages of charges: usage in a range of days, one charge in detail, and reporting a problem with it."""

from decimal import Decimal
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from accounts.access import account_page
from accounts.http import AccountRequest
from billing.models import Charge
from usage import selectors
from usage.charges import detail, listing, reports
from usage.dashboard import aggregates, chart_data
from usage.views.forms import ReportForm, UsageForm

LARGEST_PARTS = 5  # of each bar of the chart; the others are one more
LISTED_GROUPS = 100  # the others are one row


@require_safe
@account_page
def usage(request: AccountRequest) -> HttpResponse:
    """Credits spent in a range of days, by day (or hour) and by a dimension, with the charges behind them."""
    form = UsageForm(request.GET or None, account=request.account, now=timezone.now())
    period, filters = form.period, form.filters
    if fragment := charge_rows(request, form, filters):
        return fragment
    cursor = request.GET.get("before", "")
    tabs = chart_data.tabs()
    groups = aggregates.group_totals(request.account, period, dimension=form.dimension, limit=LISTED_GROUPS)
    is_stacked = not filters and form.dimension != "conversation"  # of which there may be many every day
    largest = groups[:LARGEST_PARTS] if is_stacked else []
    series = aggregates.series(
        request.account,
        period,
        dimension=form.dimension if is_stacked else "",
        values=[aggregates.column_value(form.dimension, group.key) for group in largest],
        **filters,
    )
    total = sum(series.totals, Decimal(0))
    before = aggregates.series(request.account, period.before, **filters)
    bars = chart_data.bars_of(groups, dimension=form.dimension, period=period)
    context = {
        "form": form,
        "period": period,
        "dates": form.dates_of(period),
        "chart": chart_data.stacked(series, before, groups, dimension=form.dimension),
        "by_hour": period.first == period.last,
        "groups": chart_data.with_others(bars, total=total),
        "groups_title": chart_data.titles()[form.dimension],
        "only_name": next(
            (group.name for group in groups if group.key == form.selected_key), form.selected_key
        ),
        "tabs": [{"key": key, "label": label} for key, label in tabs.items()],
        "project_label": tabs["project"],
        "days_query": form.days_query,
        "total": total,
        "total_before": sum(before.totals, Decimal(0)),
        "page": listing.page_of(request.account, period, filters=filters, after=cursor),
        "cursor": cursor,
        "query": form.query,
    }
    return render(request, "usage/usage.html", context)


def charge_rows(request: AccountRequest, form: UsageForm, filters: dict[str, Any]) -> HttpResponse | None:
    """The table rows that htmx requests alone, older or newer ones; None when the whole page is requested."""
    if not request.headers.get("HX-Request"):
        return None
    if before := request.GET.get("before"):
        page = listing.page_of(request.account, form.period, filters=filters, after=before)
        return render(request, "usage/_charge_rows.html", {"page": page, "query": form.query})
    if seen := request.GET.get("newer"):
        newer = listing.newer_than(request.account, form.period, filters=filters, seen=seen)
        newest = newer[0].charge.public_id if newer else seen
        context = {"charge_rows": newer, "newest": newest, "query": form.query}
        return render(request, "usage/_charge_rows_newer.html", context)
    return None


@require_safe
@account_page
def charge(request: AccountRequest, public_id: str) -> HttpResponse:
    """One charge in detail, with its reports and their answers."""
    return _charge_page(request, _charge_or_404(request, public_id), ReportForm())


@require_POST
@account_page
def report_charge(request: AccountRequest, public_id: str) -> HttpResponse:
    """Report a problem with the charge. Any member may."""
    reported = _charge_or_404(request, public_id)
    form = ReportForm(request.POST)
    if not form.is_valid():
        return _charge_page(request, reported, form)
    try:
        reports.open_report(
            reported, reason=form.cleaned_data["reason"], reporter_id=request.user.pk, now=timezone.now()
        )
    except reports.AlreadyReported as error:
        messages.info(request, str(error))
    else:
        messages.success(request, _("Report sent. You will see our answer here and get it by e-mail."))
    return redirect("charge", public_id)


def _charge_or_404(request: AccountRequest, public_id: str) -> Charge:
    found = selectors.charge(request.account.pk, public_id)
    if found is None:
        raise Http404
    return found


def _charge_page(request: AccountRequest, shown: Charge, form: ReportForm) -> HttpResponse:
    charge_reports = list(reports.of(shown))
    context = {
        "charge": shown,
        "detail": detail.of(shown),
        "project_label": chart_data.tabs()["project"],
        "reports": charge_reports,
        "report_open": any(report.is_open for report in charge_reports),
        "form": form,
    }
    return render(request, "usage/charge.html", context, status=422 if form.errors else 200)
