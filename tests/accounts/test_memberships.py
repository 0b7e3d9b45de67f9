"""An account always has at least one owner."""

import threading
from decimal import Decimal

import pytest
from django.db import connection
from django.utils import timezone

from accounts import memberships
from accounts.models import Membership
from billing.models import Limit


def membership_of(user, account):
    return Membership.objects.get(user=user, account=account)


@pytest.mark.fault("Z8")
def test_the_last_owner_cannot_leave(team, alice):
    with pytest.raises(memberships.LastOwner):
        memberships.remove(membership_of(alice, team), timezone.now())
    assert membership_of(alice, team).role == "owner"


@pytest.mark.fault("Z8")
def test_the_last_owner_cannot_change_role(team, alice):
    with pytest.raises(memberships.LastOwner):
        memberships.change_role(membership_of(alice, team), "billing")


def test_an_owner_can_leave_when_there_is_another(team, alice, bob):
    memberships.change_role(membership_of(bob, team), "owner")
    memberships.remove(membership_of(alice, team), timezone.now())
    assert not Membership.objects.filter(user=alice, account=team).exists()


@pytest.mark.parametrize("limit", [Decimal(7), None])
def test_a_member_who_returns_has_the_limit_of_the_new_membership_only(team, bob, limit):
    now = timezone.now()
    memberships.set_monthly_limit(membership_of(bob, team), Decimal(5), now)
    memberships.remove(membership_of(bob, team), now)
    memberships.add(account=team, user=bob, role="member", monthly_limit=limit, now=now)
    limits = Limit.objects.filter(account=team, kind="member", subject=str(bob.pk))
    assert limits.values_list("maximum", flat=True).first() == limit


def test_a_member_cannot_be_added_twice(team, bob):
    with pytest.raises(memberships.AlreadyMember):
        memberships.add(account=team, user=bob, role="owner", now=timezone.now())
    assert membership_of(bob, team).role == "member"


@pytest.mark.fault("Z8")
@pytest.mark.django_db(transaction=True)
def test_of_two_owners_who_leave_at_once_one_is_refused(team, alice, bob):
    memberships.change_role(membership_of(bob, team), "owner")
    leaving = [membership_of(alice, team), membership_of(bob, team)]
    start = threading.Barrier(2)
    refused = []

    def leave(membership):
        try:
            start.wait(timeout=60)
            memberships.remove(membership, timezone.now())
        except memberships.LastOwner:
            refused.append(membership)
        finally:
            connection.close()

    threads = [threading.Thread(target=leave, args=[membership]) for membership in leaving]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert len(refused) == 1
    assert Membership.objects.filter(account=team, role="owner").count() == 1
