"""What the admin refuses beside the permission: acts on superusers, the last owner, redeemed promotions."""

from collections.abc import Callable
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from django.contrib.auth.models import Permission
from django.test import Client
from django.utils import timezone

from accounts import api_keys
from accounts.models import Account, Membership, User
from billing.models import Promotion
from tests.billing.conftest import stripe_api as stripe_api
from tests.conftest import person
from tests.forms import world as worlds
from tests.forms.staff_accounts import the_user
from tests.forms.test_staff import inline_counts
from tests.forms.world import World

pytestmark = pytest.mark.django_db
USERS = "/admin/accounts/user/"


@pytest.fixture
def world(stripe_api: Any, team: Account, alice: User, charlie: User) -> World:
    return worlds.create(team, alice)


@pytest.mark.fault("Z6")
def test_only_a_superuser_acts_on_a_superuser(
    world: World, staff: User, signed_in: Callable[[User], Client]
) -> None:
    helper = person("helper", is_staff=True)
    helper.user_permissions.set(Permission.objects.filter(codename__in=["view_user", "change_user"]))
    Authenticator.objects.create(user=staff, type=Authenticator.Type.TOTP, data={})
    for name in ("end_sessions", "remove_second_factor"):
        data = {"action": name, "_selected_action": [str(staff.pk), str(the_user(world).pk)]}
        signed_in(helper).post(USERS, data)
    staff.refresh_from_db()
    assert (staff.sign_in_epoch, the_user(world).sign_in_epoch) == (0, 2)
    assert Authenticator.objects.filter(user=staff).exists()


@pytest.mark.fault("Z5")
def test_the_keys_of_a_user_whom_staff_deactivate_are_refused_at_once(
    world: World, staff: User, signed_in: Callable[[User], Client]
) -> None:
    charlie = the_user(world)
    issued = api_keys.issue(
        kind="account",
        name="k",
        scopes=["read"],
        account=Account.objects.get(person=charlie),
        created_by=charlie,
        now=timezone.now(),
    )
    api_keys.verify(issued.secret, timezone.now())  # this process has a lease
    browser, path = signed_in(staff), f"/admin/accounts/user/{charlie.pk}/change/"
    form = {"first_name": "C", "language": "en", "role": "none"} | inline_counts(browser, path)
    assert browser.post(path, form).status_code == 302
    with pytest.raises(api_keys.UnknownKey):
        api_keys.verify(issued.secret, timezone.now())
    browser.post(path, form | {"is_active": "on"})
    assert api_keys.verify(issued.secret, timezone.now())


def test_a_promotion_that_was_redeemed_is_not_deleted(
    world: World, staff: User, signed_in: Callable[[User], Client]
) -> None:
    Promotion.objects.filter(code="GIFT").update(redeemed=1)
    promotion = Promotion.objects.get(code="GIFT")
    path = f"/admin/billing/promotion/{promotion.pk}/delete/"
    assert signed_in(staff).post(path, {"post": "yes"}).status_code == 403
    assert Promotion.objects.filter(pk=promotion.pk).exists()


def test_the_last_owner_keeps_the_role_that_staff_take(
    world: World, staff: User, signed_in: Callable[[User], Client]
) -> None:
    owner = Membership.objects.get(account=world.account, role="owner")
    page = signed_in(staff).post(
        f"/admin/accounts/membership/{owner.pk}/change/", {"role": "member"}, follow=True
    )
    assert "an account needs at least one owner" in page.content.decode()
    owner.refresh_from_db()
    assert owner.role == "owner"


def test_a_membership_that_staff_add_has_its_account_user_and_role(
    world: World, staff: User, signed_in: Callable[[User], Client]
) -> None:
    charlie = the_user(world)
    form = {"account": str(world.account.pk), "user": str(charlie.pk), "role": "billing"}
    browser = signed_in(staff)
    assert browser.post("/admin/accounts/membership/add/", form).status_code == 302
    added = Membership.objects.get(account=world.account, user=charlie)
    assert added.role == "billing"
    moved = {
        "account": str(Account.objects.get(person=charlie).pk),
        "user": str(world.user.pk),
        "role": "member",
    }
    browser.post(f"/admin/accounts/membership/{added.pk}/change/", moved)
    added.refresh_from_db()
    assert (added.account, added.user, added.role) == (world.account, charlie, "member")
    again = browser.post("/admin/accounts/membership/add/", form)
    assert again.status_code == 200 and "already exists" in again.content.decode()
