"""Memberships of accounts: add, change role and monthly limit, remove. The only functions that do so.

Invariants: an account that has an owner always has one; removing a member revokes the keys that the member
created; owners change every member, billing members change plain members and make no owners, nobody else
changes anybody, and everybody may leave. Roles are read under the lock of the account.
"""

from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext as _

from accounts import api_keys, spending_limits
from accounts.models import Account, ApiKey, Membership, User
from accounts.webhook_endpoints import events
from core.errors import Refusal
from core.unset import UNSET, Unset

MOST_MEMBERS = 200  # of an account
Role = Membership.Role


class LastOwner(Refusal):
    """The only owner cannot leave or change role: another owner must be added first (409)."""

    code = "last_owner"

    def __init__(self) -> None:
        super().__init__(_("An account needs at least one owner. Make another member owner first."))


class AlreadyMember(Refusal):
    """The user is a member of this account already (409)."""

    code = "already_member"

    def __init__(self) -> None:
        super().__init__(_("This user is already a member of the account."))


class NotATeam(Refusal):
    """A personal account has one member (409)."""

    code = "not_a_team"

    def __init__(self) -> None:
        super().__init__(_("This is a personal account. Members can be added to team accounts."))


class TooManyMembers(Refusal):
    """The account has MOST_MEMBERS members (409)."""

    code = "too_many_members"

    def __init__(self) -> None:
        super().__init__(_("The account has %(most)d members, which is the most.") % {"most": MOST_MEMBERS})


class RoleNotAllowed(Refusal):
    """The role of the acting member does not permit this (403)."""

    code, status = "role_not_allowed", 403

    def __init__(self) -> None:
        super().__init__(_("Your role does not permit this. Ask an owner of the account."))


class NoMember(Refusal):
    """The user is not, or no longer, a member of the account (404)."""

    code, status = "unknown_member", 404

    def __init__(self) -> None:
        super().__init__(_("This user is not a member of the account."))


class UnknownUser(Refusal):
    """No active user has this id, external id or verified address (404)."""

    code, status = "unknown_user", 404

    def __init__(self) -> None:
        super().__init__(_("There is no such user. Send an invitation instead."))


def add(
    *, account: Account, user: User, role: str, now: datetime, monthly_limit: Decimal | None = None
) -> Membership:
    """Add a user to a team. An account without members that the platform opened becomes a team.

    Raises AlreadyMember, NotATeam, TooManyMembers.
    """
    with transaction.atomic():
        locked = lock(account.pk)
        if locked.kind != Account.Kind.TEAM:
            require_team(locked)
            Account.objects.filter(pk=locked.pk).update(kind=Account.Kind.TEAM)
        members = Membership.objects.filter(account=locked)
        if members.filter(user=user).exists():
            raise AlreadyMember
        if members.count() >= MOST_MEMBERS:
            raise TooManyMembers
        membership = Membership.objects.create(
            account=locked, user=user, role=role, monthly_limit=monthly_limit, created_at=now
        )
        # None too: it removes the limit of an earlier membership
        spending_limits.set_limit(membership, period="month", maximum=monthly_limit, now=now)
        events.record_member(membership, events.Type.MEMBER_ADDED, now)
    return membership


def change_role(membership: Membership, role: str, *, by: UUID | None = None) -> None:
    """Change the role. The keys of a plain member lose `manage`.

    `by` is the acting member; None is staff or the platform. Raises LastOwner, RoleNotAllowed, NoMember.
    """
    with transaction.atomic():
        current = _locked(membership)
        require_may_manage(current.account_id, by=by, target=current.role, role=role)
        if role != Role.OWNER:
            _keep_an_owner(current)
        Membership.objects.filter(pk=current.pk).update(role=role)
    api_keys.outlast_leases()


def set_monthly_limit(
    membership: Membership, limit: Decimal | None, now: datetime, *, by: UUID | None = None
) -> None:
    """Set or (None) remove the credits that the member may spend in a calendar month.

    `by` is the acting member; None is staff or the platform. Raises RoleNotAllowed, NoMember.
    """
    with transaction.atomic():
        current = _locked(membership)
        require_may_manage(current.account_id, by=by, target=current.role)
        Membership.objects.filter(pk=current.pk).update(monthly_limit=limit)
        spending_limits.set_limit(current, period="month", maximum=limit, now=now)


def change(
    membership: Membership,
    *,
    now: datetime,
    by: UUID | None = None,
    role: str | None = None,
    monthly_limit: Decimal | Unset | None = UNSET,
) -> None:
    """Change the given values together. Raises as change_role and set_monthly_limit."""
    with transaction.atomic():
        if not isinstance(monthly_limit, Unset):
            set_monthly_limit(membership, monthly_limit, now, by=by)
        if role is not None:
            change_role(membership, role, by=by)


def hand_over(membership: Membership, *, by: UUID, now: datetime) -> None:
    """Make the member an owner, and the acting owner a billing member. Raises RoleNotAllowed, NoMember."""
    with transaction.atomic():
        own = Membership.objects.filter(account_id=membership.account_id, user_id=by).first()
        if own is None or own.pk == membership.pk:
            raise RoleNotAllowed
        change_role(membership, Role.OWNER, by=by)
        change_role(own, Role.BILLING, by=by)


def remove(membership: Membership, now: datetime, *, by: UUID | None = None) -> None:
    """Remove a member; the member's keys are refused when this returns. Everybody may leave.

    `by` is the acting member; None is staff or the platform. Raises LastOwner, RoleNotAllowed, NoMember.
    """
    with transaction.atomic():
        current = _locked(membership)
        if by != current.user_id:
            require_may_manage(current.account_id, by=by, target=current.role)
        _keep_an_owner(current)
        events.record_member(current, events.Type.MEMBER_REMOVED, now)
        Membership.objects.filter(pk=current.pk).delete()
        keys = ApiKey.objects.filter(account_id=current.account_id, created_by_id=current.user_id)
        keys.filter(revoked_at=None).update(revoked_at=now)
    api_keys.outlast_leases()


def lock(account_id: UUID) -> Account:
    """Lock the account, which serializes changes of its members, invitations and keys."""
    return Account.objects.select_for_update(no_key=True).get(pk=account_id)


def require_team(account: Account) -> None:
    """Raises NotATeam for the account of a person."""
    if account.kind != Account.Kind.TEAM and account.person_id is not None:
        raise NotATeam


def require_may_manage(
    account_id: UUID, *, by: UUID | None, target: str = Role.MEMBER, role: str = Role.MEMBER
) -> None:
    """Check that `by` may change a member with the role `target` and give it `role`. None may do everything.

    Raises RoleNotAllowed.
    """
    if by is None:
        return
    acting = (
        Membership.objects.filter(account_id=account_id, user_id=by).values_list("role", flat=True).first()
    )
    if acting == Role.OWNER:
        return
    if acting != Role.BILLING or target != Role.MEMBER or role == Role.OWNER:
        raise RoleNotAllowed


def _locked(membership: Membership) -> Membership:
    """The current membership, with the account locked: two owners cannot leave concurrently."""
    lock(membership.account_id)
    current = Membership.objects.filter(pk=membership.pk).select_related("account", "user").first()
    if current is None:
        raise NoMember
    return current


def _keep_an_owner(leaving: Membership) -> None:
    others = Membership.objects.filter(account_id=leaving.account_id, role=Role.OWNER)
    if leaving.role == Role.OWNER and not others.exclude(pk=leaving.pk).exists():
        raise LastOwner
