"""Pages with which a user comes to a team: accepting an invitation."""

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from accounts import access, invitations, memberships
from accounts.models import User


@require_http_methods(["GET", "POST"])
@never_cache
def join(request: HttpRequest, token: str) -> HttpResponse:
    """The link of an invitation: its reader signs in with the invited address and accepts."""
    invitation = invitations.named_by(token)
    if invitation is None:
        raise Http404
    user = request.user if isinstance(request.user, User) else None
    context = {
        "invitation": invitation,
        "is_open": invitation.status_at(timezone.now()) == "open",
        "is_theirs": user is not None and invitations.has_verified(user, invitation.email),
    }
    if request.method == "GET" or user is None:
        return render(request, "accounts/join.html", context)
    try:
        membership = invitations.accept(invitation, user, timezone.now())
    except invitations.OtherAddress:
        return render(request, "accounts/join.html", context, status=403)
    except (invitations.InvitationClosed, memberships.AlreadyMember, memberships.TooManyMembers) as error:
        return render(request, "accounts/join.html", context | {"error": str(error)}, status=409)
    access.choose_account(request, membership.account_id)
    messages.success(request, _("You joined “%(name)s”.") % {"name": membership.account.name})
    return redirect("dashboard")
