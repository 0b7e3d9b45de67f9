"""One charge: why it cost what it cost, and the way to say that it looks wrong."""

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from accounts.access import account_page
from accounts.http import AccountRequest
from billing.models import Charge
from usage.charges import charge_detail, charge_list, reports
from usage.dashboard import chart_data
from usage.views.forms import ReportForm


@require_safe
@account_page
def charge(request: AccountRequest, public_id: str) -> HttpResponse:
    """A charge explained, with its reports and their outcome."""
    return _page(request, _found(request, public_id), ReportForm())


@require_POST
@account_page
def report_charge(request: AccountRequest, public_id: str) -> HttpResponse:
    """Report the charge as abnormal: any member may."""
    found = _found(request, public_id)
    form = ReportForm(request.POST)
    if not form.is_valid():
        return _page(request, found, form)
    try:
        reports.open_report(
            found, reason=form.cleaned_data["reason"], reporter_id=request.user.pk, now=timezone.now()
        )
    except reports.AlreadyReported as error:
        messages.info(request, str(error))
    else:
        messages.success(request, _("Report sent. You will see our answer here and get it by e-mail."))
    return redirect("charge", public_id)


def _found(request: AccountRequest, public_id: str) -> Charge:
    found = charge_list.find(request.account, public_id)
    if found is None:
        raise Http404
    return found


def _page(request: AccountRequest, found: Charge, form: ReportForm) -> HttpResponse:
    told = list(reports.of(found))
    context = {
        "charge": found,
        "told": charge_detail.of(found),
        "project_label": chart_data.tabs()["project"],
        "reports": told,
        "report_open": any(one.status == one.Status.OPEN for one in told),
        "form": form,
    }
    return render(request, "usage/charge.html", context, status=422 if form.errors else 200)
