"""Memberships of accounts: add, change role, remove.

Invariants: an account always has an owner; removing a member revokes the keys that the member created.
"""

from datetime import datetime

from django.db import transaction

from accounts import api_keys
from accounts.models import Account, ApiKey, Membership, User


class LastOwner(Exception):
    """The only owner cannot leave or change role: another owner must be added first."""


class AlreadyMember(Exception):
    """The user is a member of this account already."""


def add(*, account: Account, user: User, role: str, now: datetime) -> Membership:
    """Add a user to an account. Raises AlreadyMember."""
    membership, created = Membership.objects.get_or_create(
        account=account, user=user, defaults={"role": role, "created_at": now}
    )
    if not created:
        raise AlreadyMember
    return membership


def change_role(membership: Membership, role: str) -> None:
    """Change the role. The keys of a plain member lose `manage`. Raises LastOwner."""
    with transaction.atomic():
        current = _locked(membership)
        if role != Membership.Role.OWNER:
            _keep_an_owner(current)
        Membership.objects.filter(pk=current.pk).update(role=role)
    api_keys.outlast_leases()


def remove(membership: Membership, now: datetime) -> None:
    """Remove a member; the member's keys are refused when this returns. Raises LastOwner."""
    with transaction.atomic():
        current = _locked(membership)
        _keep_an_owner(current)
        current.delete()
        keys = ApiKey.objects.filter(account_id=current.account_id, created_by_id=current.user_id)
        keys.filter(revoked_at=None).update(revoked_at=now)
    api_keys.outlast_leases()


def _locked(membership: Membership) -> Membership:
    """The current membership, with the account locked: two owners cannot leave concurrently."""
    Account.objects.select_for_update(no_key=True).get(pk=membership.account_id)
    return Membership.objects.get(pk=membership.pk)


def _keep_an_owner(leaving: Membership) -> None:
    others = Membership.objects.filter(account_id=leaving.account_id, role=Membership.Role.OWNER)
    if leaving.role == Membership.Role.OWNER and not others.exclude(pk=leaving.pk).exists():
        raise LastOwner
