"""The public memorial wall, and adding an account's name to it or removing it."""

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from accounts import access
from accounts.access import account_page
from accounts.http import AccountRequest
from usage import memorial_wall


@require_safe
def wall(request: HttpRequest) -> HttpResponse:
    """The names. 404 in products without a memorial wall."""
    if not memorial_wall.exists():
        raise Http404
    return render(request, "usage/memorial_wall.html", {"members": memorial_wall.members()})


@require_POST
@account_page
@access.buyers_only
def set_listed(request: AccountRequest) -> HttpResponse:
    """Add the account's name to the memorial wall (`on=yes`), or remove it."""
    listed = request.POST.get("on") == "yes"
    try:
        memorial_wall.set_listed(request.account, listed=listed)
    except memorial_wall.NotEligible as error:
        raise Http404 from error
    if listed:
        messages.success(
            request, _("“%(name)s” was added to the memorial wall.") % {"name": request.account.name}
        )
    else:
        messages.success(request, _("Your name was removed from the memorial wall."))
    return redirect("settings")
