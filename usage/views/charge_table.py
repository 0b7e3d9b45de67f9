"""The rows of calls that htmx asks for alone: older ones on demand, newer ones by themselves.

Invariant: they are rows of the page that holds them, under the same filters; without htmx all of it comes.
"""

from typing import Any

from django.http import HttpResponse
from django.shortcuts import render

from accounts.http import AccountRequest
from usage.charges import charge_list
from usage.views.forms import UsageForm


def rows_asked_for(request: AccountRequest, form: UsageForm, wanted: dict[str, Any]) -> HttpResponse | None:
    """The rows alone, or None when the whole page is wanted."""
    if not request.headers.get("HX-Request"):
        return None
    if before := request.GET.get("before"):
        page = charge_list.page_of(request.account, form.period, wanted, after=before)
        return render(request, "usage/_call_rows.html", {"page": page, "query": form.query})
    if seen := request.GET.get("newer"):
        newer = charge_list.newer_than(request.account, form.period, wanted, seen=seen)
        newest = newer[0].charge.public_id if newer else seen
        context = {"calls": newer, "newest": newest, "query": form.query}
        return render(request, "usage/_calls_newer.html", context)
    return None
