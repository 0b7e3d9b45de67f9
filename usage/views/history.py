"""Pages of the transaction history: the list, its newer rows, the CSV export and the statements."""

import csv
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from django.contrib import messages
from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.safestring import mark_safe
from django.utils.translation import get_language, override
from django.views.decorators.http import require_safe

from accounts.access import account_page
from accounts.http import AccountRequest
from accounts.models import Membership
from usage import monthly_emails
from usage.dashboard import balance_summary
from usage.history import exports, pages, statements
from usage.periods import Period
from usage.templatetags.history_rows import history_rows
from usage.views.forms import HistoryForm, RangeForm


@require_safe
@account_page
def history_page(request: AccountRequest) -> HttpResponse:
    """Entries, newest first. With the cursor `before`, htmx gets only the rows before it."""
    form = HistoryForm(request.GET or None, account=request.account, now=_settle(request))
    before = request.GET.get("before", "")
    page = pages.page_of(
        request.account, form.filters, older_than=int(before[:18]) if before.isdecimal() else None
    )
    context = {
        "form": form,
        "page": page,
        "query": _query(request),
        "in_background": exports.is_large(request.account, form.filters),
        "cursor": before,
        "exact_times": True,
    }
    part = before and request.headers.get("HX-Request")
    return render(request, "usage/_history_rows.html" if part else "usage/history.html", context)


@require_safe
@account_page
def newer_rows(request: AccountRequest) -> HttpResponse:
    """The rows of entries after the entry number `seen`."""
    form = HistoryForm(request.GET, account=request.account, now=_settle(request))
    seen = request.GET.get("seen", "")
    lines = pages.newer_than(request.account, form.filters, seen=int(seen[:18]) if seen.isdecimal() else 0)
    newest = lines[0].seq if lines else seen
    return render(
        request,
        "usage/_history_newer.html",
        {"lines": lines, "newest": newest, "query": _query(request), "exact_times": True},
    )


@require_safe
@account_page
def history_csv(request: AccountRequest) -> StreamingHttpResponse:
    """All matching entries as CSV, streamed while they are read."""
    form = HistoryForm(request.GET or None, account=request.account, now=_settle(request))
    rows = _in_language(pages.csv_rows(request.account, form.filters))
    response = StreamingHttpResponse(_csv_lines(rows), content_type="text/csv; charset=utf-8")
    day = timezone.localtime(timezone.now()).date().isoformat()
    response["Content-Disposition"] = f'attachment; filename="history-{day}.csv"'
    return response


@require_safe
@account_page
def statement(request: AccountRequest) -> HttpResponse | StreamingHttpResponse:
    """A printable statement of a period: opening balance, entries page by page, closing balance.

    With `all`, all entries of a shorter statement are on one page, which is sent while they are read.
    """
    form = RangeForm(request.GET or None, account=request.account, now=_settle(request))
    period = _period(form)
    number = request.GET.get("page", "")
    try:
        verifiable = statements.of_period(request.account, start=period.start, end=period.end)
        page = pages.statement_page(verifiable, int(number[:9]) if number.isdecimal() else None)
    except statements.EntriesMissing as error:
        messages.error(request, str(error))
        return redirect("history")
    statements.request_signature(verifiable)
    context = {
        "dates": form.dates_of(period),
        "until_now": period.last >= form.today,
        "since": period.first,
        "until": period.last,
        "verifiable": verifiable,
        "summary": pages.summary_of(verifiable),
        "page": page,
        "can_be_whole": page.count > 1 and verifiable.entries <= pages.MOST_ON_ONE_PAGE,
        "days": f"since={period.first.isoformat()}&until={period.last.isoformat()}",
        "emails_path": _emails_path(request),
    }
    if "all" in request.GET and context["can_be_whole"]:
        return StreamingHttpResponse(_whole_statement(request, verifiable, context))
    return render(request, "usage/statement.html", context)


def _emails_path(request: AccountRequest) -> str:
    """Where an owner unsubscribes from monthly statements; others get none."""
    if request.membership.role != Membership.Role.OWNER:
        return ""
    return monthly_emails.path_for(request.account.pk, request.user.pk)


def _in_language(rows: Iterator[list[str]]) -> Iterator[list[str]]:
    """The rows in the language of the request, which has been answered when they are read."""
    language = get_language()

    def translated() -> Iterator[list[str]]:
        while True:
            with override(language):
                row = next(rows, None)
            if row is None:
                return
            yield row

    return translated()


_ROWS = "<!-- rows -->"


def _whole_statement(
    request: AccountRequest, verifiable: statements.Statement, context: dict[str, Any]
) -> Iterator[str]:
    """The page in parts: the template with a mark, which the rows replace, chunk by chunk."""
    context |= {"rows": mark_safe(_ROWS)}  # noqa: S308  # texts of users are escaped, so none is like it
    before, after = render_to_string("usage/statement.html", context, request).split(_ROWS)
    language, zone = get_language(), request.account.zone

    def parts() -> Iterator[str]:
        yield before
        for lines in pages.statement_chunks(verifiable):
            with timezone.override(zone), override(language):
                rows = history_rows(lines, exact_times=True, exact_figures=True)
            yield rows
        yield after

    return parts()


@require_safe
@account_page
def statement_json(request: AccountRequest) -> HttpResponse | StreamingHttpResponse:
    """The statement with hashes, a proof and a signature, for clients/verify_statement.py."""
    form = RangeForm(request.GET or None, account=request.account, now=_settle(request))
    if form.is_bound and not form.is_valid():
        return JsonResponse({"errors": form.errors}, status=400)
    period = _period(form)
    try:
        verifiable = statements.of_period(request.account, start=period.start, end=period.end)
        if verifiable.all_archived:
            return JsonResponse({"archived": statements.archive_of(verifiable)}, status=410)
        statements.request_signature(verifiable)
        parts = statements.as_json(verifiable)
    except statements.EntriesMissing as error:
        return JsonResponse({"errors": {"__all__": [str(error)]}}, status=409)
    response = StreamingHttpResponse(parts, content_type="application/json")
    name = f"statement-{period.first.isoformat()}-{period.last.isoformat()}.json"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def _period(form: RangeForm) -> Period:
    """The period of the form; without dates, the month up to today."""
    until = form.value("until") or form.today
    since = form.value("since") or until.replace(day=1)
    return Period(first=since, last=until, zone=form.zone)


def _settle(request: AccountRequest) -> datetime:
    """Settle the account and return the current time."""
    now = timezone.now()
    balance_summary.settle(request.account, now)
    return now


class _Echo:
    """A file object whose `write` returns its argument, for csv.writer."""

    def write(self, value: str) -> str:
        return value


def _csv_lines(rows: Iterator[list[str]]) -> Iterator[str]:
    writer = csv.writer(_Echo())
    yield "\ufeff"  # byte order mark: without it, Excel does not read UTF-8
    for row in rows:
        yield writer.writerow(row)


def _query(request: AccountRequest) -> str:
    """The query string without the cursors."""
    query = request.GET.copy()
    for name in ("before", "seen"):
        query.pop(name, None)
    return query.urlencode()
