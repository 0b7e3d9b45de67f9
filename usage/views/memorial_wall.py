"""The public memorial wall, and the switch that puts an account on it."""

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from accounts import access
from accounts.access import account_page
from accounts.http import AccountRequest
from usage import memorial_wall as memorial


@require_safe
def wall(request: HttpRequest) -> HttpResponse:
    """The names. Not there in products without a wall."""
    if not memorial.exists():
        raise Http404
    return render(request, "usage/wall.html", {"members": memorial.members()})


@require_POST
@account_page
@access.buyers_only
def stand(request: AccountRequest) -> HttpResponse:
    """Stand on the wall from now on, or no longer."""
    on = request.POST.get("on") == "yes"
    try:
        memorial.stand(request.account, on=on)
    except memorial.NoMark as error:
        raise Http404 from error
    if on:
        messages.success(
            request, _("“%(name)s” was added to the memorial wall.") % {"name": request.account.name}
        )
    else:
        messages.success(request, _("Your name was removed from the memorial wall."))
    return redirect("settings")
