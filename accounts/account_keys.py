"""Keys of an account, as members and programs create and change them.

Invariants: nobody gives a key a scope that they lack; a key that has a limit or an expiry neither creates nor
changes keys, so that it cannot leave its bounds; a key is changed by whoever may change its creator.
Reasons: docs/decisions/0024-members-and-keys.md.
"""

from collections.abc import Collection
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext as _

from accounts import api_keys, memberships, spending_limits
from accounts.api_keys import Principal
from accounts.models import ApiKey, Membership
from core.declared_problems import MissingScope
from core.errors import Refusal
from core.unset import UNSET, Unset

Limit = Decimal | Unset | None


class ScopeNotAllowed(Refusal):
    """The caller lacks a scope that the key would have (403)."""

    code, status = "missing_scope", 403

    def __init__(self, scope: str) -> None:
        super().__init__(_("You cannot give a key the scope “%(scope)s”, which you lack.") % {"scope": scope})
        self.scope = scope

    def extra(self) -> MissingScope:
        return {"scope": self.scope}


class KeyIsLimited(Refusal):
    """A key with a limit or an expiry neither creates nor changes keys (403)."""

    code, status = "key_is_limited", 403

    def __init__(self) -> None:
        super().__init__(
            _("This key has a limit or an expiry, so it can neither create nor change keys. Use another key.")
        )


class KeyRevoked(Refusal):
    """A revoked key cannot be changed (409)."""

    code = "key_revoked"

    def __init__(self) -> None:
        super().__init__(_("This key is revoked. Create another key."))


class ExpiryInThePast(Refusal):
    """A key must be valid for some time (400)."""

    code, status, field = "in_the_past", 400, "expires_at"

    def __init__(self) -> None:
        super().__init__(_("The expiry must be in the future. To end a key now, revoke it."))


def create(
    *,
    account_id: UUID,
    by: Principal,
    member_id: UUID,
    name: str,
    scopes: Collection[str],
    now: datetime,
    daily_limit: Decimal | None = None,
    monthly_limit: Decimal | None = None,
    expires_at: datetime | None = None,
) -> api_keys.Issued:
    """Create a key that ends with the membership of the user `member_id`.

    Raises ScopeNotAllowed, KeyIsLimited, ExpiryInThePast, memberships.NoMember, api_keys.TooManyKeys.
    """
    _require_scopes(by, scopes)
    _require_future(expires_at, now)
    with transaction.atomic():
        account = memberships.lock(account_id)
        _require_unlimited(by)
        member = Membership.objects.filter(account=account, user_id=member_id).select_related("user").first()
        if member is None:
            raise memberships.NoMember
        return api_keys.issue(
            kind=ApiKey.Kind.ACCOUNT,
            account=account,
            created_by=member.user,
            name=name,
            scopes=scopes,
            daily_limit=daily_limit,
            monthly_limit=monthly_limit,
            expires_at=expires_at,
            now=now,
        )


def change(
    key: ApiKey,
    *,
    by: Principal,
    now: datetime,
    name: str | None = None,
    scopes: Collection[str] | None = None,
    daily_limit: Limit = UNSET,
    monthly_limit: Limit = UNSET,
    expires_at: datetime | Unset | None = UNSET,
) -> ApiKey:
    """Change the given values of an account key; when this returns no process uses the former ones.

    Raises KeyRevoked, ScopeNotAllowed, KeyIsLimited, ExpiryInThePast, memberships.RoleNotAllowed.
    """
    assert key.account_id is not None, "a platform key is changed by staff"
    with transaction.atomic():
        memberships.lock(key.account_id)
        key = ApiKey.objects.get(pk=key.pk)
        if key.revoked_at is not None:
            raise KeyRevoked
        _require_unlimited(by)
        _require_may_change(key, by)
        if name is not None:
            key.name = name
        if scopes is not None:
            _require_scopes(by, set(scopes) - set(key.scopes))
            key.scopes = [scope for scope in ApiKey.Scope.values if scope in scopes]
        if not isinstance(expires_at, Unset):
            _require_future(expires_at, now)
            key.expires_at = expires_at
        if not isinstance(daily_limit, Unset):
            key.daily_limit = daily_limit
            spending_limits.set_limit(key, period="day", maximum=daily_limit, now=now)
        if not isinstance(monthly_limit, Unset):
            key.monthly_limit = monthly_limit
            spending_limits.set_limit(key, period="month", maximum=monthly_limit, now=now)
        key.save(update_fields=["name", "scopes", "expires_at", "daily_limit", "monthly_limit"])
    api_keys.outlast_leases()
    return key


def _require_scopes(by: Principal, scopes: Collection[str]) -> None:
    for scope in sorted(scopes):
        if not by.may(scope):
            raise ScopeNotAllowed(scope)


def _require_unlimited(by: Principal) -> None:
    limited = ApiKey.objects.filter(pk=by.id).exclude(daily_limit=None, monthly_limit=None, expires_at=None)
    if limited.exists():
        raise KeyIsLimited


def _require_may_change(key: ApiKey, by: Principal) -> None:
    """A member changes the own keys, and those of members that it may change."""
    if by.is_platform or by.member_id == key.created_by_id:
        return
    assert key.account_id is not None
    creator = Membership.objects.filter(account_id=key.account_id, user=key.created_by).first()
    target = creator.role if creator else Membership.Role.MEMBER
    memberships.require_may_manage(key.account_id, by=by.member_id, target=target)


def _require_future(expires_at: datetime | None, now: datetime) -> None:
    if expires_at is not None and expires_at <= now:
        raise ExpiryInThePast
