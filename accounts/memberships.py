"""Who may act for an account: members come, change their role, and leave.

Invariants: an account always keeps an owner; whoever leaves takes the keys that they made along, at once.
"""

from datetime import datetime

from django.db import transaction

from accounts import api_keys
from accounts.models import Account, ApiKey, Membership, User


class LastOwner(Exception):
    """The only owner cannot leave or step down: another owner must be named first."""


class AlreadyMember(Exception):
    """The person acts for this account already."""


def add(*, account: Account, user: User, role: str, now: datetime) -> Membership:
    """Let a person act for an account. Raises AlreadyMember."""
    membership, created = Membership.objects.get_or_create(
        account=account, user=user, defaults={"role": role, "created_at": now}
    )
    if not created:
        raise AlreadyMember
    return membership


def change_role(membership: Membership, role: str) -> None:
    """Give another role. The keys of one who is now a plain member lose `manage`. Raises LastOwner."""
    with transaction.atomic():
        current = _locked(membership)
        if role != Membership.Role.OWNER:
            _keep_an_owner(current)
        Membership.objects.filter(pk=current.pk).update(role=role)
    api_keys.outlast_leases()


def remove(membership: Membership, now: datetime) -> None:
    """End a membership; the member's keys to this account are dead when this returns. Raises LastOwner."""
    with transaction.atomic():
        current = _locked(membership)
        _keep_an_owner(current)
        current.delete()
        keys = ApiKey.objects.filter(account_id=current.account_id, created_by_id=current.user_id)
        keys.filter(revoked_at=None).update(revoked_at=now)
    api_keys.outlast_leases()


def _locked(membership: Membership) -> Membership:
    """The membership as it is now, under the account's lock: two owners cannot leave at the same time."""
    Account.objects.select_for_update().get(pk=membership.account_id)
    return Membership.objects.get(pk=membership.pk)


def _keep_an_owner(leaving: Membership) -> None:
    others = Membership.objects.filter(account_id=leaving.account_id, role=Membership.Role.OWNER)
    if leaving.role == Membership.Role.OWNER and not others.exclude(pk=leaving.pk).exists():
        raise LastOwner
