"""Authentication of the REST API, and the account of a request.

Invariants: a request has exactly one principal, from its key or from the browser session (which must send the
CSRF token with every write); an account that the principal may not use is "unknown", like one that does not
exist.
"""

from collections.abc import Sequence
from typing import Any, TypeVar, cast
from uuid import UUID

from django.contrib.auth.models import AnonymousUser
from django.db import connection
from django.utils import timezone
from django.utils.translation import gettext as _
from rest_framework import authentication
from rest_framework.request import Request

from accounts import access, api_keys, selectors
from accounts.api_keys import SESSION, Principal
from accounts.models import Account, ApiKey, Membership, User
from core import ids, prepared, problems, request_context
from core.caches import TimedCache
from core.models import Identified

Object = TypeVar("Object", bound=Identified)
ANONYMOUS = AnonymousUser()
LEASE_SECONDS = 2.0
MAX_CACHED_ACCOUNTS = 10_000
_FIND = """
    select id from accounts_account where erased_at is null and (id = %(id)s or external_id = %(name)s)
     order by id = %(id)s desc nulls last limit 1
"""
_FIND_IDS = "select id from accounts_account where erased_at is null and id = any(%(ids)s::uuid[])"
_FIND_NAMES = """
    select external_id, id from accounts_account where erased_at is null and external_id = any(%(names)s)
"""
_account_ids: TimedCache[str, UUID] = TimedCache(seconds=LEASE_SECONDS, max_entries=MAX_CACHED_ACCOUNTS)


class KeyAuthentication(authentication.BaseAuthentication):
    """`Authorization: Bearer <key>`. `request.auth` is the principal of the key; there is no user."""

    def authenticate(self, request: Request) -> tuple[Any, Principal] | None:
        header = request.META.get("HTTP_AUTHORIZATION")
        if header is None:
            return None
        scheme, _space, secret = header.partition(" ")
        if scheme.lower() != "bearer":
            raise problems.unauthenticated()
        try:
            return ANONYMOUS, api_keys.verify(secret.strip(), timezone.now())
        except api_keys.UnknownKey:
            raise problems.unauthenticated(
                _(
                    "This API key is not valid. It is mistyped, revoked or expired, or its member has left"
                    " the account."
                )
            ) from None


class SessionAuthentication(authentication.SessionAuthentication):
    """A member in a browser, for the account in `?account=` or the one chosen in the portal."""

    def authenticate(self, request: Request) -> tuple[User, Principal] | None:
        user = getattr(request._request, "user", None)
        if not isinstance(user, User):  # a deactivated user has no session
            return None
        self.enforce_csrf(request)
        return user, session_principal(_membership(request))


def session_principal(membership: Membership) -> Principal:
    """The principal of a member in a browser."""
    scopes = {ApiKey.Scope.READ, ApiKey.Scope.SPEND}
    if membership.may_buy:
        scopes.add(ApiKey.Scope.MANAGE)
    return Principal(
        id=membership.user_id,
        kind=SESSION,
        account_id=membership.account_id,
        member_id=membership.user_id,
        scopes=frozenset(str(scope) for scope in scopes),
        last_used_at=None,
    )


def _membership(request: Request) -> Membership:
    named = request.query_params.get("account")
    if named is None:
        return access.chosen_membership(request._request)
    account = selectors.account_of_platform(named)
    user_id = cast(User, request._request.user).pk
    membership = selectors.membership_in(user_id, account.pk) if account else None
    if membership is None:
        raise unknown_account()
    return membership


def principal_of(request: Request) -> Principal:
    """The principal of the request; endpoints have refused requests without one."""
    return cast(Principal, request.auth)


def unknown_account() -> problems.Problem:
    return problems.not_found(
        _("The account does not exist or this key cannot access it."), code="unknown_account"
    )


def account_of(request: Request, named: str | None = None) -> UUID:
    """The account of a request: `named` in its body, `?account=`, or that of the key.

    Raises Problem: 404 for an account the principal may not use, 400 where a platform key names none.
    """
    found = _account_of(principal_of(request), named or request.query_params.get("account"))
    request_context.account_id.set(found)
    return found


def _account_of(principal: Principal, named: str | None) -> UUID:
    if principal.account_id is not None:
        if named is not None and not _is_named(principal.account_id, named):
            raise unknown_account()
        return principal.account_id
    if named is None:
        raise problems.field_problem(
            "account",
            "required",
            _("A platform key can act for many accounts. Send the account id or your external id."),
        )
    return find_account(named)


def object_of(request: Request, model: type[Object], public_id: str, named: str | None = None) -> Object:
    """The object that the path names, in the account of the request.

    An id names one object, so that a platform key may leave the account out; if it names one, the object must
    belong to it. `model` has a foreign key `account`. Raises Problem (404).
    """
    value = model.uuid_of(public_id)
    if principal_of(request).account_id is None and not (named or request.query_params.get("account")):
        # a platform key is of no account
        owner: dict[str, Any] = {"account__isnull": False, "account__erased_at": None}
    else:
        owner = {"account_id": account_of(request, named)}
    found = model._default_manager.filter(pk=value, **owner).first() if value else None
    if found is None:
        raise problems.not_found()
    request_context.account_id.set(getattr(found, "account_id", None))
    return found


def find_account(named: str) -> UUID:
    """The id of the account that a platform key names, by public id or by external id.

    Cached for LEASE_SECONDS: accounts are never deleted, and their ids do not change.
    Raises Problem (404).
    """
    return _account_ids.get_or_load(named, _find_account)


def accounts_of(requests: Sequence[tuple[Principal, str | None]]) -> list[UUID | None]:
    """The accounts of requests by principal and the account that they name, in one query.

    None where `account_of` has to decide: a name that is unknown or missing, or not the key's own public id.
    """
    named = {name for principal, name in requests if principal.account_id is None and name is not None}
    found = _account_ids.get_or_load_many(named, _find_accounts)
    accounts: list[UUID | None] = []
    for principal, name in requests:
        own = principal.account_id
        if own is None:
            accounts.append(found.get(name or ""))
        else:
            accounts.append(own if name in (None, Account.public_id_of(own)) else None)
    return accounts


def _find_accounts(named: Sequence[str]) -> dict[str, UUID]:
    found: dict[str, UUID] = {}
    by_id = {account_id: name for name in named if (account_id := Account.uuid_of(name))}
    if by_id:
        ids = prepared.rows(_FIND_IDS, {"ids": prepared.array(by_id)})
        found = {by_id[account_id]: account_id for (account_id,) in ids}
    names = [name for name in named if name not in found and "\0" not in name]
    if names:
        found.update(prepared.rows(_FIND_NAMES, {"names": names}))
    return found


def _find_account(named: str) -> UUID:
    if "\0" in named:
        raise unknown_account()
    with connection.cursor() as cursor:
        cursor.execute(_FIND, {"id": Account.uuid_of(named), "name": named})
        row = cursor.fetchone()
    if row is None:
        raise unknown_account()
    return row[0]  # type: ignore[no-any-return]


def _is_named(account_id: UUID, named: str) -> bool:
    if named == Account.public_id_of(account_id):
        return True
    return Account.objects.filter(pk=account_id, external_id=named).exists() if "\0" not in named else False


def actor_of(request: Request) -> str:
    """The public id of the platform key of the request, as ledger entries name their actor."""
    return ids.public_id(prefix=ApiKey.PREFIX, value=principal_of(request).id)
