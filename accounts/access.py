"""Who may see and do what on pages: every view behind a sign-in goes through `account_page`.

Invariants: `request.account` is an account that `request.user` is a member of at this moment, whatever the
session says; an account of others is 404, never 403, so that its existence is not told; a member without the
role is 403.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.utils import timezone

from accounts import registration, selectors
from accounts.http import AccountRequest
from accounts.models import Membership, User

CHOSEN = "account"  # the session's key for the id of the account that the member works in

AccountView = Callable[Concatenate[AccountRequest, ...], HttpResponseBase]
View = Callable[Concatenate[HttpRequest, ...], HttpResponseBase]


def account_page(view: AccountView) -> View:
    """Require a sign-in and put the chosen account and the membership on the request."""

    @login_required
    @wraps(view)
    def page(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        membership = chosen_membership(request)
        request.account = membership.account  # type: ignore[attr-defined]
        request.membership = membership  # type: ignore[attr-defined]
        with timezone.override(membership.account.zone):  # the account's days and hours on every page
            return view(request, *args, **kwargs)  # type: ignore[arg-type]

    return page


def require_role(*roles: str) -> Callable[[AccountView], AccountView]:
    """Under `account_page`: members in another role are refused (403)."""

    def decorate(view: AccountView) -> AccountView:
        @wraps(view)
        def page(request: AccountRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if request.membership.role not in roles:
                raise PermissionDenied
            return view(request, *args, **kwargs)

        return page

    return decorate


# Owner and billing buy, refund, and make keys; a plain member uses.
buyers_only = require_role(Membership.Role.OWNER, Membership.Role.BILLING)


def require_may_buy(request: AccountRequest) -> None:
    """For views that decide in their middle. Raises PermissionDenied (403)."""
    if not request.membership.may_buy:
        raise PermissionDenied


def choose_account(request: HttpRequest, account_id: UUID | None) -> Membership:
    """Work in another of one's accounts from now on. Raises Http404 for an account of others."""
    membership = selectors.membership_in(_user(request).pk, account_id) if account_id else None
    if membership is None:
        raise Http404
    request.session[CHOSEN] = str(membership.account_id)
    return membership


def chosen_membership(request: HttpRequest) -> Membership:
    """The session's choice while it still holds, else the personal account, else the oldest membership."""
    user = _user(request)
    memberships = selectors.memberships_of(user.pk)
    if not memberships:
        # Made on the command line or in the admin, not by sign-up: the account is opened at the first visit.
        registration.open_personal_account(user, timezone.now())
        memberships = selectors.memberships_of(user.pk)
    chosen = request.session.get(CHOSEN)
    for membership in memberships:
        if str(membership.account_id) == chosen:
            return membership
    return memberships[0]


def _user(request: HttpRequest) -> User:
    """The signed-in user (login_required stands before every caller)."""
    assert isinstance(request.user, User)
    return request.user
