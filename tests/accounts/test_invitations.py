"""Accepting an invitation: what holds at that instant, whatever the page has shown before."""

from datetime import timedelta

import pytest
from allauth.account.models import EmailAddress
from django.utils import timezone

from accounts import invitations
from accounts.models import Account, Invitation, Membership, User

pytestmark = pytest.mark.django_db


@pytest.fixture
def invitation(team: Account, alice: User, charlie: User) -> Invitation:
    EmailAddress.objects.create(user=charlie, email=charlie.email, verified=True)
    return invitations.invite(
        account_id=team.pk,
        by=alice.pk,
        now=timezone.now(),
        email=charlie.email,
        role="member",
        monthly_limit=None,
    )


def test_a_link_that_is_replaced_while_its_page_is_open_is_not_accepted(
    team: Account, alice: User, charlie: User, invitation: Invitation
) -> None:
    now = timezone.now()
    terms = {"email": charlie.email, "role": "billing", "monthly_limit": None}
    newer = invitations.invite(account_id=team.pk, by=alice.pk, now=now + timedelta(minutes=1), **terms)
    with pytest.raises(invitations.InvitationClosed):
        invitations.accept(invitation, charlie, now)
    assert invitations.accept(newer, charlie, now).role == Membership.Role.BILLING


@pytest.mark.fault("Z3")
def test_an_inviter_who_may_no_longer_give_the_role_makes_no_member(
    team: Account, alice: User, bob: User, charlie: User, invitation: Invitation
) -> None:
    Invitation.objects.update(role=Membership.Role.OWNER)
    Membership.objects.filter(account=team, user=alice).update(role=Membership.Role.BILLING)
    with pytest.raises(invitations.InvitationClosed):
        invitations.accept(invitation, charlie, timezone.now())
    Membership.objects.filter(account=team, user=alice).update(role=Membership.Role.OWNER)
    assert invitations.accept(invitation, charlie, timezone.now()).role == Membership.Role.OWNER


@pytest.mark.fault("Z3")
def test_an_address_that_is_entered_and_not_verified_accepts_nothing(
    charlie: User, invitation: Invitation
) -> None:
    EmailAddress.objects.update(verified=False)
    with pytest.raises(invitations.OtherAddress):
        invitations.accept(invitation, charlie, timezone.now())
