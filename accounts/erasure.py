"""Erasing a user: what names the person is removed or replaced, what belongs to the books stays.

Invariants: after `anonymise` nobody can sign in as the user, no key of the user is accepted, and no row of
this app contains the user's name or address; an account is closed while its row is locked, and whatever must
not begin on a closed account calls `require_open`. Payments are ended before it (billing.erasure).
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount
from allauth.usersessions.models import UserSession
from django.dispatch import Signal
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from accounts import api_keys, memberships
from accounts.models import (
    Account,
    ApiKey,
    Invitation,
    Membership,
    ProviderKey,
    StaffNote,
    TeamRequest,
    User,
    WebhookEndpoint,
    personal_account_of,
)
from core.errors import Refusal

# Sent with account inside the transaction that closes it. Imports run from usage to accounts.
account_closed = Signal()
DOMAIN = "erased.invalid"  # reserved: no mail is ever delivered there (RFC 2606)


class OwnsTeam(Refusal):
    """The user is the only owner of a team, which would be left without one (409)."""

    code = "last_owner"

    def __init__(self, name: str) -> None:
        super().__init__(
            _("You are the only owner of “%(name)s”. Hand it over to another member first.") % {"name": name}
        )


class MembersChanged(Refusal):
    """A team got a member, or lost one, while its only member was being erased (409)."""

    code = "members_changed"

    def __init__(self) -> None:
        super().__init__(_("The members of one of your teams have changed. Confirm again."))


class AccountErased(Refusal):
    """The account was erased: nothing can be bought for it any more (409)."""

    code = "account_erased"

    def __init__(self) -> None:
        super().__init__(_("This account was deleted."))


class IsStaff(Refusal):
    """Members of the staff cannot erase themselves (403)."""

    code, status = "staff", 403

    def __init__(self) -> None:
        super().__init__(_("Staff accounts are deactivated by another member of the staff."))


def accounts_to_close(user: User) -> list[Account]:
    """The personal account, and the teams that have no other member; in the order of their locks.

    Raises OwnsTeam, IsStaff.
    """
    if user.is_staff:
        raise IsStaff
    alone = []
    owned = Membership.objects.filter(user=user, role=Membership.Role.OWNER, account__erased_at=None)
    for membership in owned.exclude(account__person=user).select_related("account"):
        others = membership.account.memberships.exclude(user=user)
        if not others.exists():
            alone.append(membership.account)
        elif not others.filter(role=Membership.Role.OWNER).exists():
            raise OwnsTeam(membership.account.name)
    return sorted([personal_account_of(user), *alone], key=lambda account: account.pk)


def lock(user: User, accounts: Sequence[Account]) -> None:
    """Lock the accounts that are to be closed. Call inside a transaction.

    Raises OwnsTeam, IsStaff, MembersChanged when they are others now.
    """
    for account in accounts:
        memberships.lock(account.pk)
    if accounts_to_close(user) != list(accounts):
        raise MembersChanged


def require_open(account_id: UUID) -> None:
    """Lock the account's row until the transaction ends. Raises AccountErased."""
    if memberships.lock(account_id).erased_at is not None:
        raise AccountErased


def is_erased(user: User) -> bool:
    return user.email.endswith(f"@{DOMAIN}")


def anonymise(user: User, accounts: Sequence[Account], now: datetime) -> None:
    """Remove the person from this app's rows and close the accounts, which `lock` has locked."""
    for account in accounts:
        _close(account, now)
    for membership in Membership.objects.filter(user=user, account__erased_at=None):
        memberships.remove(membership, now, by=user.pk)
    addresses = {user.email, *EmailAddress.objects.filter(user=user).values_list("email", flat=True)}
    Invitation.objects.filter(email__in={address.lower() for address in addresses}).delete()
    TeamRequest.objects.filter(user=user).delete()
    for rows in (EmailAddress, Authenticator, SocialAccount, UserSession):
        rows.objects.filter(user=user).delete()
    user.email = f"{user.pk.hex}@{DOMAIN}"
    user.first_name = user.last_name = ""
    user.is_active = False
    user.set_unusable_password()  # which ends all sessions
    user.save()
    api_keys.outlast_leases()


def _close(account: Account, now: datetime) -> None:
    Account.objects.filter(pk=account.pk).update(
        name=gettext_noop("Deleted account"), on_wall=False, external_id=None, erased_at=now
    )
    keys = ApiKey.objects.filter(account=account)
    keys.filter(revoked_at=None).update(revoked_at=now)
    keys.update(name=gettext_noop("Deleted key"))
    for rows in (ProviderKey, WebhookEndpoint, StaffNote, Invitation):
        rows.objects.filter(account=account).delete()
    for project in account.projects.all():
        account.projects.filter(pk=project.pk).update(name=project.public_id)
    account_closed.send(sender=Account, account=account)
