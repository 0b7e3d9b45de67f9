"""Pages of projects: the list with today's figures, and one project with its usage and settings.

Every member may view projects; only owner and billing members may create and change them.
"""

from decimal import Decimal
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
from usage import projects
from usage.charges import listing
from usage.dashboard import aggregates, chart_data
from usage.projects import ProjectSummary
from usage.views.charges import charge_rows
from usage.views.forms import ProjectForm, UsageForm


@require_http_methods(["GET", "POST"])
@account_page
def projects_page(request: AccountRequest) -> HttpResponse:
    """The projects with today's figures; POST creates one."""
    now = timezone.now()
    form = ProjectForm(request.POST or None)
    if request.method == "POST":
        access.require_may_buy(request)
        if form.is_valid():
            try:
                project = projects.create(account_id=request.account.pk, now=now, **form.cleaned_data)
            except projects.NameTaken as error:
                form.add_error("name", str(error))
            else:
                messages.success(request, _("“%(name)s” was created.") % {"name": project.name})
                return redirect("project", project.public_id)
    context = {
        "summaries": projects.summaries_of(request.account, now),
        "archived": projects.archived_of(request.account),
        "form": form,
    }
    return render(request, "usage/projects.html", context, status=422 if form.errors else 200)


@require_http_methods(["GET", "POST"])
@account_page
def project_page(request: AccountRequest, public_id: str) -> HttpResponse:
    """One project: today's figures, usage by day and by service, charges; POST changes name and limit."""
    now = timezone.now()
    summary = _summary_or_404(request, public_id)
    if request.method == "GET":
        return _project_page(request, summary, _initial_form(summary))
    access.require_may_buy(request)
    form = ProjectForm(request.POST)
    if form.is_valid():
        try:
            projects.change(
                account_id=request.account.pk, project_id=summary.project.pk, now=now, **form.cleaned_data
            )
        except projects.NameTaken as error:
            form.add_error("name", str(error))
        else:
            messages.success(request, _("Project saved."))
            return redirect("project", public_id)
    return _project_page(request, summary, form)


@require_http_methods(["GET", "POST"])
@account_page
@access.buyers_only
def archive(request: AccountRequest, public_id: str) -> HttpResponse:
    """Archive the project. GET asks for confirmation, for browsers without JavaScript."""
    summary = _summary_or_404(request, public_id)
    if request.method == "GET":
        return render(request, "usage/archive_project.html", {"summary": summary})
    projects.change(
        account_id=request.account.pk, project_id=summary.project.pk, archived=True, now=timezone.now()
    )
    name = summary.project.name
    messages.success(request, _("“%(name)s” was archived. Its calls are refused.") % {"name": name})
    return redirect("projects")


@require_POST
@account_page
@access.buyers_only
def restore(request: AccountRequest, public_id: str) -> HttpResponse:
    """Restore an archived project."""
    summary = _summary_or_404(request, public_id)
    try:
        projects.change(
            account_id=request.account.pk, project_id=summary.project.pk, archived=False, now=timezone.now()
        )
    except projects.NameTaken as error:
        messages.error(request, str(error))
    else:
        messages.success(request, _("“%(name)s” was restored.") % {"name": summary.project.name})
    return redirect("project", public_id)


def _summary_or_404(request: AccountRequest, public_id: str) -> ProjectSummary:
    summary = projects.summary_of(request.account, public_id, now=timezone.now())
    if summary is None:
        raise Http404
    return summary


def _initial_form(summary: ProjectSummary) -> ProjectForm:
    limit = summary.project.daily_limit
    return ProjectForm(
        initial={"name": summary.project.name, "daily_limit": "" if limit is None else plain(limit)}
    )


def _project_page(request: AccountRequest, summary: ProjectSummary, form: ProjectForm) -> HttpResponse:
    usage_form = UsageForm(request.GET or None, account=request.account, now=timezone.now())
    filters: dict[str, Any] = {"project_id": summary.project.pk}
    if fragment := charge_rows(request, usage_form, filters):
        return fragment
    period = usage_form.period
    series = aggregates.series(request.account, period, **filters)
    groups = aggregates.group_totals(request.account, period, dimension="service", limit=8, **filters)
    total = sum(series.totals, Decimal(0))
    bars = chart_data.bars_of(groups, dimension="service", period=period, linked=False)
    cursor = request.GET.get("before", "")
    context = {
        "summary": summary,
        "form": form,
        "usage_form": usage_form,
        "period": period,
        "points": chart_data.points_of_series(series),
        "services": chart_data.with_others(bars, total=total),
        "total": total,
        "page": listing.page_of(request.account, period, filters=filters, after=cursor),
        "cursor": cursor,
        "query": usage_form.query,
        "project_label": chart_data.tabs()["project"],
    }
    return render(request, "usage/project.html", context, status=422 if form.errors else 200)
