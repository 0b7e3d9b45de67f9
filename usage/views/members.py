"""Pages of the members of an account, and of the request for a team account.

Every member sees who shares the account; owners and billing members invite, change and remove.
"""

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from accounts import access, invitations, memberships, team_requests
from accounts.access import account_page
from accounts.http import AccountRequest
from accounts.models import Account, Invitation, Membership, TeamRequest
from core.amounts import plain
from core.errors import Refusal
from pricing.catalogue import cache as catalogue_cache
from usage import members
from usage.views.forms import InvitationForm, MemberForm, TeamRequestForm


@require_http_methods(["GET", "POST"])
@account_page
def members_page(request: AccountRequest) -> HttpResponse:
    """The members with this month's figures, and the invitations; POST invites."""
    now = timezone.now()
    form = InvitationForm(request.POST or None)
    if request.method == "POST":
        access.require_may_buy(request)
        if form.is_valid():
            try:
                invitations.invite(
                    account_id=request.account.pk, by=request.user.pk, now=now, **form.cleaned_data
                )
            except Refusal as error:
                form.add_error(None, str(error))
            else:
                text = _("An invitation was sent to %(email)s.")
                messages.success(request, text % {"email": form.cleaned_data["email"]})
                return redirect("members")
    waiting = request.account.member_invitations.filter(accepted_at=None, revoked_at=None)
    context = {
        "summaries": members.summaries_of(request.account, now),
        "invitations": [(one, one.status_at(now)) for one in waiting.order_by("-created_at")],
        "is_team": request.account.kind == Account.Kind.TEAM,
        "form": form,
    }
    return render(request, "usage/members.html", context, status=422 if form.errors else 200)


@require_http_methods(["GET", "POST"])
@account_page
@access.buyers_only
def member_page(request: AccountRequest, public_id: str) -> HttpResponse:
    """Change the role and the monthly limit of a member."""
    membership = _membership_or_404(request, public_id)
    limit = membership.monthly_limit
    initial = {"role": membership.role, "monthly_limit": "" if limit is None else plain(limit)}
    form = MemberForm(request.POST or None, initial=initial)
    if request.method == "POST" and form.is_valid():
        try:
            memberships.change(membership, by=request.user.pk, now=timezone.now(), **form.cleaned_data)
        except Refusal as error:
            form.add_error(None, str(error))
        else:
            messages.success(request, _("Member saved."))
            return redirect("members")
    context = {"member": membership, "form": form}
    return render(request, "usage/member.html", context, status=422 if form.errors else 200)


@require_http_methods(["GET", "POST"])
@account_page
@access.buyers_only
def remove_member(request: AccountRequest, public_id: str) -> HttpResponse:
    """Confirm, then remove a member."""
    membership = _membership_or_404(request, public_id)
    if request.method == "GET":
        return render(request, "usage/remove_member.html", {"member": membership})
    return _remove(request, membership, "members")


@require_http_methods(["GET", "POST"])
@account_page
def leave(request: AccountRequest) -> HttpResponse:
    """Confirm, then leave the account."""
    if request.POST.get("confirm") != "yes":
        return render(request, "usage/remove_member.html", {"member": request.membership, "leaves": True})
    return _remove(request, request.membership, "dashboard")


@require_http_methods(["GET", "POST"])
@account_page
@access.buyers_only
def hand_over(request: AccountRequest, public_id: str) -> HttpResponse:
    """Confirm, then make the member owner and oneself billing member."""
    membership = _membership_or_404(request, public_id)
    if request.method == "GET":
        return render(request, "usage/hand_over.html", {"member": membership})
    try:
        memberships.hand_over(membership, by=request.user.pk, now=timezone.now())
    except Refusal as error:
        messages.error(request, str(error))
    else:
        name = membership.user.shown_name
        messages.success(request, _("%(name)s is an owner now. You are a billing member.") % {"name": name})
    return redirect("members")


@require_POST
@account_page
@access.buyers_only
def revoke_invitation(request: AccountRequest, public_id: str) -> HttpResponse:
    """Revoke an invitation."""
    invitation = Invitation.with_public_id(public_id)
    if invitation is None or invitation.account_id != request.account.pk:
        raise Http404
    try:
        invitations.revoke(invitation, timezone.now(), by=request.user.pk)
    except Refusal as error:
        messages.error(request, str(error))
    else:
        text = _("The invitation to %(email)s was revoked.") % {"email": invitation.email}
        messages.success(request, text)
    return redirect("members")


@require_http_methods(["GET", "POST"])
@account_page
def request_team(request: AccountRequest) -> HttpResponse:
    """Ask for a family or business account. 404 where the catalogue has none."""
    policy = catalogue_cache.current().policies.teams
    if policy is None:
        raise Http404
    kinds: list[tuple[str, str]] = [(kind, str(TeamRequest.Kind(kind).label)) for kind in policy.kinds]
    form = TeamRequestForm(request.POST or None, kinds=kinds)
    if request.method == "POST" and form.is_valid():
        try:
            team_requests.create(user=request.user, now=timezone.now(), **form.cleaned_data)
        except team_requests.AlreadyRequested as error:
            messages.error(request, str(error))
        else:
            messages.success(request, _("Your request was sent. We answer by e-mail."))
        return redirect("request_team")
    context: dict[str, Any] = {
        "form": form,
        "requests": TeamRequest.objects.filter(user=request.user).order_by("-created_at")[:10],
        "is_open": team_requests.open_request_of(request.user) is not None,
    }
    return render(request, "usage/request_team.html", context, status=422 if form.errors else 200)


@require_POST
@account_page
def withdraw_team_request(request: AccountRequest, public_id: str) -> HttpResponse:
    """Withdraw an open request for a team account."""
    found = TeamRequest.with_public_id(public_id)
    if found is None or found.user_id != request.user.pk:
        raise Http404
    try:
        team_requests.withdraw(found.pk)
    except team_requests.AlreadyAnswered as error:
        messages.error(request, str(error))
    else:
        messages.success(request, _("Your request was withdrawn."))
    return redirect("request_team")


def _membership_or_404(request: AccountRequest, public_id: str) -> Membership:
    found = Membership.with_public_id(public_id)
    if found is None or found.account_id != request.account.pk:
        raise Http404
    return found


def _remove(request: AccountRequest, membership: Membership, target: str) -> HttpResponse:
    try:
        memberships.remove(membership, timezone.now(), by=request.user.pk)
    except Refusal as error:
        messages.error(request, str(error))
        return redirect("members")
    if target == "members" and membership.user_id == request.user.pk:
        target = "dashboard"  # who removed themselves is no member any more
    messages.success(request, _("%(name)s is no longer a member.") % {"name": membership.user.shown_name})
    return redirect(target)
