"""Projects (servers, workspaces … in the product's words): today's use and limits, and each one's usage.

Members look; owner and billing make, rename, limit and archive. Doors only: `projects` holds the rules.
"""

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from accounts import access
from accounts.access import account_page
from accounts.http import AccountRequest
from core.amounts import plain
from usage import project_summary, projects
from usage.charges import charge_list
from usage.dashboard import chart_data, statistics
from usage.project_summary import ProjectLine
from usage.views import charge_table
from usage.views.forms import ProjectForm, UsageForm


@require_http_methods(["GET", "POST"])
@account_page
def projects_page(request: AccountRequest) -> HttpResponse:
    """The projects with their day; make one."""
    now = timezone.now()
    form = ProjectForm(request.POST or None)
    if request.method == "POST":
        access.require_may_buy(request)
        if form.is_valid():
            try:
                made = projects.create(account_id=request.account.pk, now=now, **form.cleaned_data)
            except projects.NameTaken as error:
                form.add_error("name", str(error))
            else:
                messages.success(request, _("“%(name)s” was created.") % {"name": made.name})
                return redirect("project", made.public_id)
    context = {
        "lines": project_summary.lines_of(request.account, now),
        "archived": project_summary.archived_of(request.account),
        "form": form,
    }
    return render(request, "usage/projects.html", context, status=422 if form.errors else 200)


@require_http_methods(["GET", "POST"])
@account_page
def project_page(request: AccountRequest, public_id: str) -> HttpResponse:
    """One project: its day, its usage by day and by model, its calls; rename and limit it."""
    now = timezone.now()
    line = _line(request, public_id)
    if request.method == "GET":
        return _page(request, line, _filled(line))
    access.require_may_buy(request)
    form = ProjectForm(request.POST)
    if form.is_valid():
        try:
            projects.change(
                account_id=request.account.pk, project_id=line.project.pk, now=now, **form.cleaned_data
            )
        except projects.NameTaken as error:
            form.add_error("name", str(error))
        else:
            messages.success(request, _("Project saved."))
            return redirect("project", public_id)
    return _page(request, line, form)


@require_http_methods(["GET", "POST"])
@account_page
@access.buyers_only
def archive(request: AccountRequest, public_id: str) -> HttpResponse:
    """Ask (the page without a script has no dialog), then archive."""
    line = _line(request, public_id)
    if request.method == "GET":
        return render(request, "usage/archive_project.html", {"line": line})
    projects.change(
        account_id=request.account.pk, project_id=line.project.pk, archived=True, now=timezone.now()
    )
    told = {"name": line.project.name}
    messages.success(request, _("“%(name)s” was archived. Its calls are refused.") % told)
    return redirect("projects")


@require_POST
@account_page
@access.buyers_only
def restore(request: AccountRequest, public_id: str) -> HttpResponse:
    """Take an archived project back into use."""
    line = _line(request, public_id)
    try:
        projects.change(
            account_id=request.account.pk, project_id=line.project.pk, archived=False, now=timezone.now()
        )
    except projects.NameTaken as error:
        messages.error(request, str(error))
    else:
        messages.success(request, _("“%(name)s” was restored.") % {"name": line.project.name})
    return redirect("project", public_id)


def _line(request: AccountRequest, public_id: str) -> ProjectLine:
    line = project_summary.line_of(request.account, public_id, timezone.now())
    if line is None:
        raise Http404
    return line


def _filled(line: ProjectLine) -> ProjectForm:
    limit = line.project.daily_limit
    return ProjectForm(
        initial={"name": line.project.name, "daily_limit": "" if limit is None else plain(limit)}
    )


def _page(request: AccountRequest, line: ProjectLine, form: ProjectForm) -> HttpResponse:
    days = UsageForm(request.GET or None, account=request.account, now=timezone.now())
    wanted: dict[str, Any] = {"project_id": line.project.pk}
    if rows := charge_table.rows_asked_for(request, days, wanted):
        return rows
    period = days.period
    by_day = statistics.by_day(request.account, period, **wanted)
    parts = statistics.parts_of(request.account, period, dimension="service", limit=8, **wanted)
    cursor = request.GET.get("before", "")
    context = {
        "line": line,
        "form": form,
        "days": days,
        "period": period,
        "points": chart_data.points_of(by_day),
        "services": chart_data.bars_of(parts, dimension="service", period=period, linked=False),
        "total": sum(amount for _day, amount in by_day),
        "page": charge_list.page_of(request.account, period, wanted, after=cursor),
        "cursor": cursor,
        "query": days.query,
        "project_label": chart_data.tabs()["project"],
    }
    return render(request, "usage/project.html", context, status=422 if form.errors else 200)
