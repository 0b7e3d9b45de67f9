"""The page of refused calls."""

from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from accounts.access import account_page
from accounts.http import AccountRequest
from accounts.models import ApiKey
from usage.dashboard import aggregates
from usage.refusals import lines, reading
from usage.views.forms import RefusalForm


@require_safe
@account_page
def refusals_page(request: AccountRequest) -> HttpResponse:
    """Refused calls by reason, service and key. Members who may not buy see their own."""
    now = timezone.now()
    own = None if request.membership.may_buy else request.user.pk
    codes, key_ids = reading.reasons_and_keys(request.account.pk, since=now - reading.KEPT, member_id=own)
    names = aggregates.display_names(request.account, dimension="api_key", values=key_ids)
    form = RefusalForm(
        request.GET or None,
        reasons=[(code, lines.reason_of(code)) for code in codes],
        keys=[(ApiKey.public_id_of(key_id), names.get(key_id, "")) for key_id in key_ids],
    )
    groups = reading.groups(
        request.account.pk,
        since=now - form.length,
        code=form.code,
        api_key_id=form.api_key_id,
        member_id=own,
    )
    context = {"form": form, "lines": lines.lines_of(groups, request.membership, now), "now": now}
    return render(request, "usage/refusals.html", context)
