"""Races of members, invitations and keys: an owner remains, an invitation is accepted once, a limit holds."""

import pytest
from allauth.account.models import EmailAddress
from django.utils import timezone

from accounts import api_keys, invitations, memberships
from accounts.models import Account, Invitation, Membership, User
from billing import ledger, provisioning
from billing.models import Limit
from tests.billing.ledger.conftest import D, charge_request, give
from tests.integration.races.concurrency import at_once

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.requirement("APIN-12")]


@pytest.fixture
def firm(transactional_db: None, catalogue: None) -> Account:
    account = Account.objects.create(name="Firm", kind="team")
    provisioning.open_account(account=account, now=timezone.now())
    return account


def person(name: str, firm: Account | None = None, role: str = "owner") -> User:
    user = User.objects.create_user(f"{name}@example.org")
    EmailAddress.objects.create(user=user, email=user.email, verified=True, primary=True)
    if firm is not None:
        memberships.add(account=firm, user=user, role=role, now=timezone.now())
    return user


def of(user: User, firm: Account) -> Membership:
    return Membership.objects.get(user=user, account=firm)


@pytest.mark.fault("Z8")
def test_of_two_owners_who_remove_demote_or_leave_at_once_one_remains(firm: Account) -> None:
    ann, ben = person("ann", firm), person("ben", firm)
    of_ann, of_ben, now = of(ann, firm), of(ben, firm), timezone.now()
    outcomes = at_once(
        [
            lambda: memberships.remove(of_ben, now, by=ann.pk),
            lambda: memberships.remove(of_ann, now, by=ben.pk),
            lambda: memberships.change_role(of_ann, "member", by=ann.pk),
            lambda: memberships.remove(of_ben, now, by=ben.pk),
        ]
    )
    allowed = (memberships.LastOwner, memberships.RoleNotAllowed, memberships.NoMember)
    assert all(outcome is None or isinstance(outcome, allowed) for outcome in outcomes)
    assert Membership.objects.filter(account=firm, role="owner").count() == 1


@pytest.mark.fault("Z3")
def test_an_invitation_accepted_many_times_at_once_makes_one_member(firm: Account) -> None:
    ann, guest = person("ann", firm), person("guest")
    now = timezone.now()
    invitation = invitations.invite(account_id=firm.pk, email=guest.email, role="member", by=ann.pk, now=now)
    outcomes = at_once([lambda: invitations.accept(invitation, guest, now)] * 8)
    assert [type(outcome) for outcome in outcomes].count(Membership) == 1
    assert [type(outcome) for outcome in outcomes].count(invitations.InvitationClosed) == 7
    assert Membership.objects.filter(account=firm, user=guest).count() == 1


@pytest.mark.fault("Z3")
def test_an_invitation_is_either_accepted_or_revoked(firm: Account) -> None:
    ann, guest = person("ann", firm), person("guest")
    now = timezone.now()
    invitation = invitations.invite(account_id=firm.pk, email=guest.email, role="member", by=ann.pk, now=now)
    at_once(
        [
            lambda: invitations.accept(invitation, guest, now),
            lambda: invitations.revoke(invitation, now, by=ann.pk),
        ]
    )
    status = Invitation.objects.get().status_at(now)
    assert Membership.objects.filter(account=firm, user=guest).exists() == (status == "accepted")


def test_an_address_invited_many_times_at_once_has_one_invitation(firm: Account) -> None:
    ann, now = person("ann", firm), timezone.now()
    at_once(
        [
            lambda: invitations.invite(
                account_id=firm.pk, email="guest@example.org", role="member", by=ann.pk, now=now
            )
        ]
        * 4
    )
    assert Invitation.objects.get().sent == 4


def test_sixteen_threads_spend_no_more_than_the_limits_of_their_key(firm: Account) -> None:
    ann, now = person("ann", firm), timezone.now()
    give(firm.pk, "1000", now=now)
    terms = {"account": firm, "created_by": ann, "now": now, "daily_limit": D("30"), "monthly_limit": D("20")}
    key = api_keys.issue(kind="account", name="k", scopes=["spend"], **terms).key

    def spend(thread: int) -> int:
        """The number of refused charges."""
        refused = 0
        for number in range(3):
            request = charge_request(firm.pk, "1", f"use {thread} {number}", api_key_id=key.pk)
            try:
                ledger.charge(request, now)
            except ledger.LimitReached:
                refused += 1
        return refused

    assert sum(at_once([lambda thread=thread: spend(thread) for thread in range(16)])) == 28
    assert {(one.period, one.used) for one in Limit.objects.filter(subject=str(key.pk))} == {
        ("day", 20),
        ("month", 20),
    }
    assert ledger.audit.run(now=now).findings == []
