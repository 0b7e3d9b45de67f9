"""Invitations to become a member of a team, by e-mail.

Invariants: an address has at most one open invitation to an account; only the newest e-mail's link is valid,
until `expires_at`, once, and only for a signed-in user who has verified that address; an invitation gives
what its sender may give when it is accepted. Links are signed, so that no row of the table lets anybody join.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from allauth.account.models import EmailAddress
from django.core import signing
from django.db import transaction
from django.dispatch import Signal
from django.utils.translation import gettext as _

from accounts import memberships
from accounts.models import Invitation, Membership, User
from core.errors import Refusal

LASTS = timedelta(days=7)
MOST_OPEN = 50  # open invitations of an account
MOST_SENT = 5  # e-mails of one invitation
MOST_A_DAY = 100  # invitations that an account creates in a day
_SALT = "accounts.invitation"

# Sent with invitation, token and now, inside the transaction: billing queues the e-mail.
invitation_sent = Signal()


class TooManyInvitations(Refusal):
    """The account, or this address, has been invited often enough (429)."""

    code, status = "too_many_invitations", 429

    def __init__(self) -> None:
        super().__init__(_("Too many invitations were sent. Revoke open invitations, or wait a day."))


class InvitationClosed(Refusal):
    """The invitation was accepted or revoked, has expired, or its sender may no longer invite (409)."""

    code = "invitation_closed"

    def __init__(self) -> None:
        super().__init__(_("This invitation is no longer valid. Ask for a new one."))


class OtherAddress(Refusal):
    """The user has not verified the invited address (403)."""

    code, status = "other_address", 403

    def __init__(self) -> None:
        super().__init__(
            _("This invitation was sent to another e-mail address. Sign in with that address to accept it.")
        )


def invite(
    *,
    account_id: UUID,
    email: str,
    role: str,
    now: datetime,
    monthly_limit: Decimal | None = None,
    by: UUID | None = None,
) -> Invitation:
    """Invite an address, or send its open invitation again with these terms, which ends the former link.

    `by` is the inviting member; None is the platform. Raises NotATeam, RoleNotAllowed, AlreadyMember (of
    `memberships`), TooManyInvitations.
    """
    email = email.lower()
    with transaction.atomic():
        account = memberships.lock(account_id)
        memberships.require_team(account)
        memberships.require_may_manage(account_id, by=by, role=role)
        if Membership.objects.filter(account=account, user__email=email).exists():
            raise memberships.AlreadyMember
        terms = {"role": role, "monthly_limit": monthly_limit, "invited_by_id": by, "expires_at": now + LASTS}
        found = Invitation.objects.filter(account=account, accepted_at=None, revoked_at=None)
        open_one = found.filter(email=email).first()
        if open_one is None:
            _require_few(account_id, now)
            open_one = Invitation.objects.create(account=account, email=email, created_at=now, **terms)
        else:
            _send_again(open_one, terms)
        token = signing.dumps([open_one.pk.hex, open_one.sent], salt=_SALT)
        invitation_sent.send(sender=Invitation, invitation=open_one, token=token, now=now)
    return open_one


def named_by(token: str) -> Invitation | None:
    """The invitation of a link, whatever its status; None for a forged link and for one that was replaced."""
    try:
        number, sent = signing.loads(token, salt=_SALT)
    except signing.BadSignature:
        return None
    rows = Invitation.objects.filter(pk=UUID(hex=number), sent=sent).select_related("account", "invited_by")
    return rows.first()


def accept(invitation: Invitation, user: User, now: datetime) -> Membership:
    """Make the user a member. Raises InvitationClosed, OtherAddress, and AlreadyMember of `memberships`."""
    with transaction.atomic():
        account = memberships.lock(invitation.account_id)
        current = Invitation.objects.get(pk=invitation.pk)
        if current.sent != invitation.sent or current.status_at(now) != "open" or account.erased_at:
            raise InvitationClosed
        if not has_verified(user, current.email):
            raise OtherAddress
        try:
            memberships.require_may_manage(account.pk, by=current.invited_by_id, role=current.role)
        except memberships.RoleNotAllowed:
            raise InvitationClosed from None
        membership = memberships.add(
            account=account, user=user, role=current.role, monthly_limit=current.monthly_limit, now=now
        )
        Invitation.objects.filter(pk=current.pk).update(accepted_at=now)
    return membership


def revoke(invitation: Invitation, now: datetime, *, by: UUID | None = None) -> None:
    """End an open invitation. Idempotent. Raises InvitationClosed if it was accepted, RoleNotAllowed."""
    with transaction.atomic():
        memberships.lock(invitation.account_id)
        current = Invitation.objects.get(pk=invitation.pk)
        memberships.require_may_manage(current.account_id, by=by, role=current.role)
        if current.accepted_at is not None:
            raise InvitationClosed
        if current.revoked_at is None:
            Invitation.objects.filter(pk=current.pk).update(revoked_at=now)


def has_verified(user: User, email: str) -> bool:
    """Whether the user has verified the address."""
    return bool(EmailAddress.objects.filter(user=user, email__iexact=email, verified=True).exists())


def _require_few(account_id: UUID, now: datetime) -> None:
    of_account = Invitation.objects.filter(account_id=account_id)
    waiting = of_account.filter(accepted_at=None, revoked_at=None, expires_at__gt=now)
    if (
        waiting.count() >= MOST_OPEN
        or of_account.filter(created_at__gt=now - timedelta(days=1)).count() >= MOST_A_DAY
    ):
        raise TooManyInvitations


def _send_again(invitation: Invitation, terms: Mapping[str, object]) -> None:
    """A new link for an open or expired invitation."""
    if invitation.sent >= MOST_SENT:
        raise TooManyInvitations
    invitation.sent += 1
    for name, value in terms.items():
        setattr(invitation, name, value)
    invitation.save(update_fields=["sent", "role", "monthly_limit", "invited_by", "expires_at"])
