"""The history's pages: the list, what is new in it, its export, its statement on paper."""

import csv
from collections.abc import Iterator
from datetime import datetime

from django.http import HttpResponse, StreamingHttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from accounts.access import account_page
from accounts.http import AccountRequest
from usage import history, history_export
from usage.dashboard import balance_summary
from usage.views.forms import HistoryForm, RangeForm


@require_safe
@account_page
def history_page(request: AccountRequest) -> HttpResponse:
    """Every entry, newest first. With `before` (a cursor) htmx gets the older rows alone."""
    form = HistoryForm(request.GET or None, account=request.account, now=_settled(request))
    before = request.GET.get("before", "")
    page = history.page_of(
        request.account, form.wanted, older_than=int(before[:18]) if before.isdecimal() else None
    )
    context = {
        "form": form,
        "page": page,
        "query": _query(request),
        "cursor": before,
        "exact_times": True,
    }
    part = before and request.headers.get("HX-Request")
    return render(request, "usage/_history_rows.html" if part else "usage/history.html", context)


@require_safe
@never_cache
@account_page
def newer_rows(request: AccountRequest) -> HttpResponse:
    """The rows that have arrived since `seen`."""
    form = HistoryForm(request.GET, account=request.account, now=_settled(request))
    seen = request.GET.get("seen", "")
    lines = history.newer_than(request.account, form.wanted, int(seen[:18]) if seen.isdecimal() else 0)
    newest = lines[0].entry.seq if lines else seen
    return render(
        request,
        "usage/_history_newer.html",
        {"lines": lines, "newest": newest, "query": _query(request), "exact_times": True},
    )


@require_safe
@account_page
def history_csv(request: AccountRequest) -> StreamingHttpResponse:
    """All wanted entries as a spreadsheet; rows leave as they are read."""
    form = HistoryForm(request.GET or None, account=request.account, now=_settled(request))
    rows = history_export.rows_of(request.account, form.wanted)
    response = StreamingHttpResponse(_lines(rows), content_type="text/csv; charset=utf-8")
    day = timezone.localtime(timezone.now()).date().isoformat()
    response["Content-Disposition"] = f'attachment; filename="history-{day}.csv"'
    return response


@require_safe
@account_page
def statement(request: AccountRequest) -> HttpResponse:
    """A period on paper: what was there, what came and went, what is there."""
    now = _settled(request)
    form = RangeForm(request.GET or None, account=request.account, now=now)
    since = form.told("since") or form.today.replace(day=1)
    until = form.told("until") or form.today
    wanted = HistoryForm({"since": since, "until": until}, account=request.account, now=now).wanted
    assert wanted.start and wanted.end
    context = {
        "form": form,
        "since": since,
        "until": until,
        "summary": history.summary_of(request.account, start=wanted.start, end=wanted.end),
        "lines": history.page_of(request.account, wanted, size=history_export.MOST_ON_PAPER).lines,
        "most": history_export.MOST_ON_PAPER,
    }
    return render(request, "usage/statement.html", context)


def _settled(request: AccountRequest) -> datetime:
    """The present, with everything booked that was due by now."""
    now = timezone.now()
    balance_summary.settle(request.account, now)
    return now


class _Echo:
    """A file that hands back what is written to it."""

    def write(self, value: str) -> str:
        return value


def _lines(rows: Iterator[list[str]]) -> Iterator[str]:
    writer = csv.writer(_Echo())
    yield "\ufeff"  # so that spreadsheets read UTF-8
    for row in rows:
        yield writer.writerow(row)


def _query(request: AccountRequest) -> str:
    """The filters of the address, without the cursor."""
    told = request.GET.copy()
    for name in ("before", "seen"):
        told.pop(name, None)
    return told.urlencode()
