"""Pages of exports: the list with their progress, requesting one, and the file."""

from django.contrib import messages
from django.http import Http404, HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from accounts.access import account_page
from accounts.http import AccountRequest
from usage import selectors
from usage.history import exports
from usage.models import Export
from usage.views.forms import HistoryForm


@require_http_methods(["GET", "HEAD", "POST"])
@account_page
def exports_page(request: AccountRequest) -> HttpResponse:
    """The account's exports. A POST requests one of the entries that match the query string."""
    now = timezone.now()
    if request.method == "POST":
        form = HistoryForm(request.GET or None, account=request.account, now=now)
        try:
            exports.request(request.account, request.user, form.filters, now)
        except exports.TooManyExports as error:
            messages.error(request, str(error))
        return redirect("exports")
    found = exports.of(request.account.pk, now)[:100]
    context = {"exports": found, "waits": any(one.state == Export.State.WAITING for one in found)}
    return render(request, "usage/exports.html", context)


@require_safe
@account_page
def export_file(request: AccountRequest, public_id: str) -> StreamingHttpResponse:
    """The file of an export, sent while it is read."""
    ready = exports.of(request.account.pk, timezone.now()).filter(state=Export.State.READY)
    export = ready.filter(pk=Export.uuid_of(public_id) or selectors.NO_ID).first()
    if export is None:
        raise Http404
    response = StreamingHttpResponse(exports.text_of(export), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{exports.file_name(export)}"'
    return response
