"""What each role of staff may open and do in the admin: one line for each list, form and action.

A list, form or action without a line fails the test. S: support, F: finance, C: catalogue manager; an
administrator may do everything.
"""

from collections.abc import Callable
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from django.contrib import admin
from django.contrib.auth.models import Group
from django.test import Client

from accounts import staff_roles
from accounts.models import Account, Membership, User
from core.models import StaffAct
from tests.billing.conftest import stripe_api as stripe_api
from tests.conftest import person
from tests.forms import world as worlds
from tests.forms.staff_accounts import the_user
from tests.forms.staff_table import FORMS
from tests.forms.test_pages import undone
from tests.forms.test_staff import inline_counts, send
from tests.forms.test_staff_actions import ACTIONS, USERS
from tests.forms.world import World

pytestmark = [pytest.mark.django_db, pytest.mark.fault("Z6")]

ROLES = {"S": "support", "F": "finance", "C": "catalogue manager", "A": "administrator"}

LISTS = {
    "accounts.account": "SFA",
    "accounts.apikey": "SFA",
    "accounts.membership": "SFA",
    "accounts.project": "SFA",
    "accounts.teamrequest": "SFA",
    "accounts.user": "SFA",
    "accounts.webhookdelivery": "SFA",
    "accounts.webhookendpoint": "SFA",
    "billing.autotopup": "SFA",
    "billing.charge": "SFA",
    "billing.creditadjustment": "SFA",
    "billing.dispute": "SFA",
    "billing.entry": "SFA",
    "billing.grant": "SFA",
    "billing.mail": "SFA",
    "billing.promotion": "SFCA",
    "billing.purchase": "SFA",
    "billing.reconciliation": "FA",
    "billing.redemption": "SFCA",
    "billing.referral": "SFCA",
    "billing.refund": "SFA",
    "billing.stripeevent": "FA",
    "billing.stripeprice": "FCA",
    "billing.subscription": "SFA",
    "billing.surplussubscription": "SFA",
    "billing.wallet": "SFA",
    "core.staffact": "FA",
    "pricing.catalogue": "SFCA",
    "pricing.pack": "SFCA",
    "pricing.plan": "SFCA",
    "pricing.rate": "SFCA",
    "pricing.ratecard": "SFCA",
    "pricing.sale": "SFCA",
    "pricing.service": "SFCA",
    "usage.chargereport": "SFA",
}
PAGES = {
    "/admin/billing/purchase/report/": "FA",
    "/admin/billing/purchase/report/?csv": "FA",
    "/admin/billing/reconciliation/compare/": "FA",
    "/admin/accounts/account/find/": "SFA",
    "/admin/pricing/catalogue/export/": "CA",
    "/admin/accounts/apikey/add/": "A",
    "/admin/accounts/webhookendpoint/add/": "A",
}
DONE = {
    "PersonCreation": "SA",
    "a user": "SA",
    "AccountChange": "SA",
    "PlatformKey": "A",
    "an api key": "SA",
    "a membership": "SA",
    "DecisionForm": "SA",
    "a project": "SA",
    "PromotionForm": "FCA",
    "MakeCodesForm": "FCA",
    "ImportCodesForm": "FCA",
    "a quarantined payment": "FA",
    "a refund": "FA",
    "PlanForm": "FA",
    "a view as a customer": "SFA",
    "NoteForm": "SFA",
    "AdjustmentForm": "SFA",
    "an adjustment": "FA",
    "an automatic top-up": "FA",
    "an unpaid purchase": "FA",
    "PlanOfPriceForm": "FCA",
    "AnswerForm": "SFA",
    "DraftForm": "CA",
    "a draft": "CA",
    "end the sessions of a user": "SA",
    "turn off the second factor of a user": "SA",
    "remove a member": "SA",
    "revoke a key": "SA",
    "disable an endpoint": "A",
    "end a sale": "CA",
    "change a pack": "CA",
    "add a pack": "CA",
    "change a plan": "CA",
    "add a plan": "CA",
    "add a sale": "CA",
    "withdraw a rate card": "CA",
    "publish a rate card": "CA",
    "change prices of a draft": "CA",
    "change a rate of a draft": "CA",
    "return to a rate card": "CA",
    "delete a draft": "CA",
    "delete a rate of a draft": "CA",
    "delete a promotion": "FCA",
    "apply an event again": "FA",
    "compare with Stripe": "FA",
}


@pytest.fixture
def world(stripe_api: Any, team: Account, alice: User, charlie: User) -> World:
    return worlds.create(team, alice)


def of_role(letter: str, by: User) -> User:
    user = person(f"role-{letter.lower()}")
    staff_roles.assign(user, ROLES[letter], by=by)
    return User.objects.get(pk=user.pk)


@pytest.mark.parametrize("letter", ROLES)
def test_a_role_opens_and_does_exactly_what_the_tables_say(
    letter: str, world: World, staff: User, signed_in: Callable[[User], Client]
) -> None:
    user = of_role(letter, staff)
    browser = signed_in(user)
    models = {model._meta.label_lower: model for model in admin.site._registry}
    assert set(models) == set(LISTS)
    for name, roles in LISTS.items():
        status = browser.get(f"/admin/{name.replace('.', '/')}/").status_code
        assert status == (200 if letter in roles else 403), name
    for path, roles in PAGES.items():
        assert browser.get(path).status_code == (200 if letter in roles else 403), path
    assert ("charts" in browser.get("/admin/").context) == (letter in "FA")  # revenue
    assert {form.name for form in FORMS} | set(ACTIONS) == set(DONE)
    for form in FORMS:
        with undone():
            form.world(world)
            counts = inline_counts(signed_in(staff), form.path(world))
            before = form.stored(world)
            response = send(browser, form, world, counts)
            assert (form.stored(world) != before) == (letter in DONE[form.name]), (
                form.name,
                response.status_code,
            )
    for name, action in ACTIONS.items():
        with undone():
            action.before(world)
            before = action.state(world)
            browser.post(action.path(world), action.data(world))
            assert (action.state(world) != before) == (letter in DONE[name]), name


def test_the_groups_have_the_permissions_of_the_table_and_no_others() -> None:
    staff_roles.install()
    for role, names in staff_roles.PERMISSIONS.items():
        permissions = Group.objects.get(name=role).permissions.select_related("content_type")
        found = {f"{one.content_type.app_label}.{one.codename}" for one in permissions}
        assert found == names, role
    with pytest.raises(LookupError, match=r"billing\.fly"):
        staff_roles.permissions_named(["billing.fly"])


def role_form(browser: Client, user: User, role: str, **given: str) -> Any:
    path = f"/admin/accounts/user/{user.pk}/change/"
    data = {"first_name": "A", "language": "", "is_active": "on", "role": role} | given
    return browser.post(path, data | inline_counts(browser, path), follow=True)


def test_only_administrators_give_roles(
    world: World, staff: User, charlie: User, signed_in: Callable[[User], Client]
) -> None:
    support, finance = of_role("S", staff), of_role("F", staff)
    browser = signed_in(support)
    raw = {"is_staff": "on", "is_superuser": "on", "groups": "1", "user_permissions": "1"}
    for target in (charlie, support, finance, staff):
        before = staff_roles.role_of(User.objects.get(pk=target.pk))
        role_form(browser, target, "administrator", **raw)
        assert staff_roles.role_of(User.objects.get(pk=target.pk)) == before
    page = role_form(signed_in(staff), charlie, "finance", **raw).content.decode()
    assert "user_permissions" not in page
    given = User.objects.get(pk=charlie.pk)
    assert (staff_roles.role_of(given), given.is_superuser) == ("finance", False)
    act = StaffAct.objects.filter(subject_id=str(charlie.pk)).latest("created_at")
    assert (act.before["role"], act.after["role"]) == ("none", "finance")
    role_form(signed_in(staff), charlie, "none")
    given = User.objects.get(pk=charlie.pk)
    assert (given.is_staff, given.groups.count()) == (False, 0)


def test_support_does_not_end_sessions_or_factors_of_other_staff(
    world: World, staff: User, signed_in: Callable[[User], Client]
) -> None:
    support, finance = of_role("S", staff), of_role("F", staff)
    Authenticator.objects.create(user=finance, type=Authenticator.Type.TOTP, data={})
    for name in ("end_sessions", "remove_second_factor"):
        chosen = [str(user.pk) for user in (finance, staff, the_user(world))]
        signed_in(support).post(USERS, {"action": name, "_selected_action": chosen})
    assert Authenticator.objects.filter(user=finance).exists()
    epochs = User.objects.in_bulk([finance.pk, staff.pk, the_user(world).pk])
    assert [one.sign_in_epoch for one in epochs.values() if one.is_staff] == [0, 0]
    assert the_user(world).sign_in_epoch == 2


def test_support_makes_no_staff_members_of_a_customers_team(
    world: World, staff: User, bob: User, signed_in: Callable[[User], Client]
) -> None:
    support, browser = of_role("S", staff), signed_in(staff)
    form = {"account": str(world.account.pk), "user": str(support.pk), "role": "owner"}
    page = signed_in(support).post("/admin/accounts/membership/add/", form, follow=True).content.decode()
    assert "Only administrators" in page
    assert not Membership.objects.filter(user=support, account=world.account).exists()
    browser.post("/admin/accounts/membership/add/", form | {"role": "member"})
    own = Membership.objects.get(user=support, account=world.account)
    signed_in(support).post(f"/admin/accounts/membership/{own.pk}/change/", {"role": "owner"})
    own.refresh_from_db()
    assert own.role == "member"
    removal = {"action": "remove", "_selected_action": [str(own.pk)]}
    signed_in(support).post("/admin/accounts/membership/", removal)
    assert Membership.objects.filter(pk=own.pk).exists()
    browser.post("/admin/accounts/membership/", removal)
    assert not Membership.objects.filter(pk=own.pk).exists()


def test_administrators_do_not_change_their_own_role(
    staff: User, signed_in: Callable[[User], Client]
) -> None:
    browser = signed_in(staff)
    page = role_form(browser, staff, "support").content.decode()
    assert "Nobody changes their own role" in page
    role_form(browser, staff, "administrator", is_active="")
    staff.refresh_from_db()
    assert (staff.is_active, staff.is_superuser) == (True, True)


def test_a_deactivated_member_of_staff_is_signed_out(
    staff: User, signed_in: Callable[[User], Client]
) -> None:
    support = of_role("S", staff)
    browser = signed_in(support)
    assert browser.get("/admin/accounts/user/").status_code == 200
    role_form(signed_in(staff), support, "support", is_active="")
    assert not User.objects.get(pk=support.pk).is_active
    assert browser.get("/admin/accounts/user/").status_code == 302
    response = browser.post(USERS, {"action": "end_sessions", "_selected_action": [str(staff.pk)]})
    assert response.status_code == 302
    staff.refresh_from_db()
    assert staff.sign_in_epoch == 0


def test_staff_with_permissions_of_their_own_keep_them_until_a_role_is_chosen(
    staff: User, signed_in: Callable[[User], Client]
) -> None:
    helper = person("helper", is_staff=True)
    helper.user_permissions.set(staff_roles.permissions_named(["billing.view_mail"]))
    browser, path = signed_in(staff), f"/admin/accounts/user/{helper.pk}/change/"
    assert "Individual permissions" in browser.get(path).content.decode()
    role_form(browser, helper, "other")
    assert User.objects.get(pk=helper.pk).has_perm("billing.view_mail")
    role_form(signed_in(staff), helper, "catalogue manager")
    assert not User.objects.get(pk=helper.pk).has_perm("billing.view_mail")


def test_the_search_of_the_admin_finds_only_what_the_role_may_see(
    world: World, staff: User, signed_in: Callable[[User], Client]
) -> None:
    for letter, found in {"C": False, "S": True}.items():
        browser = signed_in(of_role(letter, staff))
        for path in ("/admin/search/?s=alice", "/admin/search/?extended=1&s=alice"):
            assert "alice@example.org" not in browser.get(path).content.decode() or found
        terms = {"app_label": "accounts", "model_name": "membership", "field_name": "user", "term": "alice"}
        answer = browser.get("/admin/autocomplete/", terms)
        assert (answer.status_code == 200 and "alice@example.org" in answer.content.decode()) == found
