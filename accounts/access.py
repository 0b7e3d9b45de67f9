"""Access control of pages: every view that needs a sign-in is decorated with `account_page`.

Invariants: `request.account` is an account that `request.user` is a member of at the time of the request; an
account of others is 404, never 403, which would reveal that it exists; a member without the role gets 403.
"""

from collections.abc import Callable, Sequence
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
from core import request_context

CHOSEN = "account"  # session key: the id of the account that the member has chosen

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
        request_context.account_id.set(membership.account_id)
        with timezone.override(membership.account.zone):  # pages show times in the account's zone
            return view(request, *args, **kwargs)  # type: ignore[arg-type]

    return page


def buyers_only(view: AccountView) -> AccountView:
    """Use under `account_page`: members whose role may not buy get 403 (`require_may_buy`)."""

    @wraps(view)
    def page(request: AccountRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        require_may_buy(request)
        return view(request, *args, **kwargs)

    return page


def require_may_buy(request: AccountRequest) -> None:
    """Check inside a view that the member's role may buy. Raises PermissionDenied (403)."""
    if not request.membership.may_buy:
        raise PermissionDenied


def choose_account(request: HttpRequest, account_id: UUID | None) -> Membership:
    """Choose another of the user's accounts. Raises Http404 for an account of others."""
    membership = selectors.membership_in(_user(request).pk, account_id) if account_id else None
    if membership is None:
        raise Http404
    request.session[CHOSEN] = str(membership.account_id)
    return membership


def memberships_of(request: HttpRequest) -> Sequence[Membership]:
    """The user's memberships with their accounts, read once for a request; a personal account at least."""
    found: Sequence[Membership] | None = getattr(request, "_memberships", None)
    if found is None:
        user = _user(request)
        found = selectors.memberships_of(user.pk)
        if not found:
            # A user created on the command line: the account is opened at the first visit.
            registration.open_personal_account(user, timezone.now())
            found = selectors.memberships_of(user.pk)
        request._memberships = found  # type: ignore[attr-defined]
    return found


def chosen_membership(request: HttpRequest) -> Membership:
    """The account chosen in the session if still a member, else the personal one, else the oldest."""
    memberships = memberships_of(request)
    viewed = getattr(request, "viewing", None)  # by staff, who have chosen no account (accounts.viewing)
    chosen = str(viewed["account"]) if viewed else request.session.get(CHOSEN)
    for membership in memberships:
        if str(membership.account_id) == chosen:
            return membership
    if viewed:
        raise Http404
    return memberships[0]


def _user(request: HttpRequest) -> User:
    """The signed-in user (every caller is behind login_required)."""
    assert isinstance(request.user, User)
    return request.user
