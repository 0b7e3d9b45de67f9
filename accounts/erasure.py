"""Erasing a user: what names the person is removed or replaced, what belongs to the books stays.

Invariant: after `anonymise` nobody can sign in as the user, no key of the user is accepted, and no row of
this app contains the user's name or address. Payments are ended before it (billing.erasure).
"""

from datetime import datetime

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
)
from core.errors import Refusal

# Sent with account and user inside the transaction that erases them. Imports run from usage to accounts.
user_erased = Signal()
DOMAIN = "erased.invalid"  # reserved: no mail is ever delivered there (RFC 2606)


class OwnsTeam(Refusal):
    """The user is the only owner of a team, which would be left without one (409)."""

    code = "last_owner"

    def __init__(self, name: str) -> None:
        super().__init__(
            _("You are the only owner of “%(name)s”. Hand it over to another member first.") % {"name": name}
        )


class IsStaff(Refusal):
    """Members of the staff cannot erase themselves (403)."""

    code, status = "staff", 403

    def __init__(self) -> None:
        super().__init__(_("Staff accounts are deactivated by another member of the staff."))


def require_possible(user: User) -> None:
    """Raises OwnsTeam, IsStaff."""
    if user.is_staff:
        raise IsStaff
    owned = Membership.objects.filter(user=user, role=Membership.Role.OWNER, account__erased_at=None)
    for membership in owned.exclude(account__person=user).select_related("account"):
        owners = membership.account.memberships.filter(role=Membership.Role.OWNER)
        if not owners.exclude(user=user).exists():
            raise OwnsTeam(membership.account.name)


def anonymise(user: User, account: Account, now: datetime) -> None:
    """Remove the person from this app's rows. `account` is the personal one. Call inside a transaction.

    Raises OwnsTeam, IsStaff.
    """
    require_possible(user)
    for membership in Membership.objects.filter(user=user).exclude(account=account):
        memberships.remove(membership, now, by=user.pk)
    Account.objects.filter(pk=account.pk).update(
        name=gettext_noop("Deleted account"), on_wall=False, external_id=None, erased_at=now
    )
    keys = ApiKey.objects.filter(account=account)
    keys.filter(revoked_at=None).update(revoked_at=now)
    keys.update(name=gettext_noop("Deleted key"))
    ProviderKey.objects.filter(account=account).delete()
    WebhookEndpoint.objects.filter(account=account).delete()
    for project in account.projects.all():
        account.projects.filter(pk=project.pk).update(name=project.public_id)
    StaffNote.objects.filter(account=account).delete()
    Invitation.objects.filter(email=user.email).delete()
    TeamRequest.objects.filter(user=user).delete()
    for rows in (EmailAddress, Authenticator, SocialAccount, UserSession):
        rows.objects.filter(user=user).delete()
    user.email = f"{user.pk.hex}@{DOMAIN}"
    user.first_name = user.last_name = ""
    user.is_active = False
    user.set_unusable_password()  # which ends all sessions
    user.save()
    user_erased.send(sender=User, account=account, user=user)
    api_keys.outlast_leases()
