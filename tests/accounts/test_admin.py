"""What staff can see and do in the admin, and which changes are refused to every user."""

import re

import pytest
from allauth.mfa.models import Authenticator
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.test import Client
from django.utils import timezone

from accounts import api_keys
from accounts.models import Account, ApiKey, Membership, User
from core.models import StaffAct
from tests.conftest import person


@pytest.fixture
def admin_client(staff, signed_in) -> Client:
    """A client of staff with every permission."""
    return signed_in(staff)


@pytest.fixture
def support_client(catalogue, signed_in) -> Client:
    """A client of staff who may only change users and view accounts."""
    user = person("support", is_staff=True)
    user.user_permissions.set(
        Permission.objects.filter(codename__in=["change_user", "view_user", "view_account", "view_apikey"])
    )
    return signed_in(user)


def list_urls():
    return [
        f"/admin/{model._meta.app_label}/{model._meta.model_name}/"
        for model in admin.site._registry
        if model._meta.app_label in {"accounts", "billing"}
    ]


@pytest.mark.parametrize("url", list_urls())
def test_every_list_can_be_opened_and_searched(admin_client, alice, url):
    assert admin_client.get(url).status_code == 200
    found = admin_client.get(url, {"q": "alice"}, follow=True)
    assert (found.status_code, "e=1" in found.request["QUERY_STRING"]) == (200, False)


def test_the_index_shows_the_side_bar_and_the_brand(admin_client):
    page = admin_client.get("/admin/").content.decode()
    assert "API keys" in page
    assert "Refly" in page


@pytest.mark.parametrize("term", ["alice@example.org", "public id", "our-17"])
def test_an_account_is_found_by_address_public_id_and_external_id(
    admin_client, alice, charlie, account_of, term
):
    account = account_of(alice)
    Account.objects.filter(pk=account.pk).update(external_id="our-17")
    page = admin_client.get(
        "/admin/accounts/account/", {"q": f" {account.public_id} " if term == "public id" else term}
    )
    assert list(page.context["cl"].result_list) == [account]


def test_an_account_shows_its_members_wallet_grants_and_entries(admin_client, alice, account_of):
    page = admin_client.get(f"/admin/accounts/account/{account_of(alice).pk}/change/").content.decode()
    assert alice.email in page
    for heading in ("Wallet", "Newest grants", "Newest entries"):
        assert heading in page


def test_an_account_shows_its_newest_twenty_projects(admin_client, alice, account_of):
    account = account_of(alice)
    for number in range(21):
        account.projects.create(name=f"Project {number:02}")
    page = admin_client.get(f"/admin/accounts/account/{account.pk}/change/").content.decode()
    assert [f"Project {number:02}" in page for number in (0, 1, 20)] == [False, True, True]


@pytest.mark.fault("L11")
@pytest.mark.parametrize("table", ["wallet", "grant", "entry", "charge"])
def test_rows_of_the_ledger_cannot_be_added_changed_or_deleted(admin_client, alice, account_of, table):
    from django.apps import apps

    model = apps.get_model("billing", table)
    row = model.objects.first()
    assert admin_client.get(f"/admin/billing/{table}/add/").status_code == 403
    if row is not None:
        assert (
            admin_client.post(f"/admin/billing/{table}/{row.pk}/change/", {"credits": "1"}).status_code == 403
        )
        assert (
            admin_client.post(f"/admin/billing/{table}/{row.pk}/delete/", {"post": "yes"}).status_code == 403
        )
    response = admin_client.post(
        f"/admin/billing/{table}/",
        {"action": "delete_selected", "_selected_action": str(row.pk if row else 1)},
    )
    assert "delete_selected" not in response.content.decode()
    assert model.objects.first() == row


def test_a_platform_key_is_shown_once_and_works(admin_client):
    page = admin_client.post("/admin/accounts/apikey/add/", {"name": "Backend", "scopes": ["read", "spend"]})
    secret = re.search(r"rk_platform_\w+", page.content.decode())[0]
    assert api_keys.verify(secret, timezone.now()).is_platform
    assert "no-store" in page.headers["Cache-Control"]
    again = admin_client.get(f"/admin/accounts/apikey/{ApiKey.objects.get().pk}/change/").content.decode()
    assert secret not in again
    assert secret not in admin_client.get("/admin/accounts/apikey/").content.decode()


def test_a_platform_key_needs_the_permission(support_client):
    assert support_client.get("/admin/accounts/apikey/add/").status_code == 403
    assert (
        support_client.post("/admin/accounts/apikey/add/", {"name": "x", "scopes": ["read"]}).status_code
        == 403
    )
    assert not ApiKey.objects.exists()


@pytest.mark.fault("Z5")
def test_staff_revoke_a_key_immediately(admin_client, alice, account_of):
    issued = api_keys.issue(
        kind="account",
        name="p",
        scopes=["read"],
        account=account_of(alice),
        created_by=alice,
        now=timezone.now(),
    )
    api_keys.verify(issued.secret, timezone.now())
    for _again in range(2):
        admin_client.post(
            "/admin/accounts/apikey/", {"action": "revoke", "_selected_action": [str(issued.key.pk)]}
        )
    with pytest.raises(api_keys.UnknownKey):
        api_keys.verify(issued.secret, timezone.now())
    assert StaffAct.objects.filter(act="apikey.revoke").count() == 1, "it was revoked once"


@pytest.mark.fault("Z6")
def test_staff_who_are_not_superusers_cannot_change_one(support_client, staff):
    response = support_client.post(f"/admin/accounts/user/{staff.pk}/change/", {"first_name": "Taken"})
    assert response.status_code == 403


def test_users_and_accounts_cannot_be_deleted_in_the_admin(admin_client, alice, account_of):
    for url in (f"user/{alice.pk}", f"account/{account_of(alice).pk}"):
        assert admin_client.post(f"/admin/accounts/{url}/delete/", {"post": "yes"}).status_code == 403


def test_a_user_created_by_staff_has_an_account_and_no_password(admin_client):
    admin_client.post(
        "/admin/accounts/user/add/",
        {"email": "Erik@Example.org", "memberships-TOTAL_FORMS": "0", "memberships-INITIAL_FORMS": "0"},
    )
    user = User.objects.get(email="erik@example.org")
    assert not user.has_usable_password()
    assert Account.objects.get(person=user).memberships.get().role == "owner"


def test_staff_can_end_sessions(admin_client, alice, signed_in):
    browser = signed_in(alice)
    assert browser.get("/settings/").status_code == 200
    admin_client.post(
        "/admin/accounts/user/", {"action": "end_sessions", "_selected_action": [str(alice.pk)]}
    )
    assert browser.get("/settings/").status_code == 302


def test_staff_turn_off_the_second_factor_of_a_lost_phone(admin_client, alice, bob, signed_in):
    browsers = [signed_in(user) for user in (alice, bob)]
    for user in (alice, bob):
        Authenticator.objects.create(user=user, type=Authenticator.Type.TOTP, data={})
    admin_client.post(
        "/admin/accounts/user/", {"action": "remove_second_factor", "_selected_action": [str(alice.pk)]}
    )
    assert Authenticator.objects.get().user == bob
    assert [browser.get("/settings/").status_code for browser in browsers] == [302, 200]
    assert LogEntry.objects.get().change_message == "Removed the second factor."


@pytest.mark.fault("Z6")
@pytest.mark.parametrize("action", ["end_sessions", "remove_second_factor"])
def test_staff_who_are_not_superusers_do_not_end_the_sessions_of_one(
    support_client, staff, alice, signed_in, action
):
    browsers = [signed_in(user) for user in (staff, alice)]
    chosen = [str(user.pk) for user in (staff, alice)]
    for users, done in (chosen, True), (chosen[:1], False):
        terms = {"action": action, "_selected_action": users}
        page = support_client.post("/admin/accounts/user/", terms, follow=True).content.decode()
        assert ("sessions were ended." in page) is done
        assert "Members of staff and deleted users were left as they are" in page
    assert [browser.get("/settings/").status_code for browser in browsers] == [200, 302]


@pytest.mark.fault("Z5")
def test_the_key_of_a_user_whom_staff_deactivate_is_refused_immediately(admin_client, alice, account_of):
    issued = api_keys.issue(
        kind="account",
        name="p",
        scopes=["read"],
        account=account_of(alice),
        created_by=alice,
        now=timezone.now(),
    )
    api_keys.verify(issued.secret, timezone.now())
    form = {"first_name": "Alice", "language": "en", "role": "support"}
    form |= {"memberships-TOTAL_FORMS": "0", "memberships-INITIAL_FORMS": "0"}
    admin_client.post(f"/admin/accounts/user/{alice.pk}/change/", form)
    alice.refresh_from_db()
    assert (alice.is_active, alice.is_staff) == (False, True)
    with pytest.raises(api_keys.UnknownKey):
        api_keys.verify(issued.secret, timezone.now())


@pytest.mark.fault("Z8")
def test_the_last_owner_cannot_be_removed_by_staff(admin_client, team, alice):
    membership = Membership.objects.get(account=team, user=alice)
    page = admin_client.post(
        "/admin/accounts/membership/",
        {"action": "remove", "_selected_action": [str(membership.pk)]},
        follow=True,
    )
    assert "only owner" in page.content.decode()
    assert Membership.objects.filter(pk=membership.pk).exists()


def test_an_unknown_time_zone_is_refused(admin_client, alice, account_of):
    account = account_of(alice)
    counts = {
        f"{name}-{count}": "0"
        for name in _inlines(admin_client, account)
        for count in ("TOTAL_FORMS", "INITIAL_FORMS")
    }
    url = f"/admin/accounts/account/{account.pk}/change/"
    page = admin_client.post(url, {"name": "Alice", "zone": "Mars/Phobos"} | counts)
    assert "not a known time zone" in page.content.decode()
    assert admin_client.post(url, {"name": "Alice", "zone": "Europe/Berlin"} | counts).status_code == 302
    assert (account_of(alice).zone, account_of(alice).external_id) == ("Europe/Berlin", None)
    Account.objects.filter(pk=account.pk).update(external_id="of/old")  # set before ids were checked
    given = {"name": "Liddell", "zone": "UTC", "external_id": "of/old"} | counts
    assert admin_client.post(url, given).status_code == 302
    assert (account_of(alice).name, account_of(alice).external_id) == ("Liddell", "of/old")
    assert "cannot contain" in admin_client.post(url, given | {"external_id": "of/new"}).content.decode()


def _inlines(admin_client, account):
    page = admin_client.get(f"/admin/accounts/account/{account.pk}/change/").content.decode()
    return re.findall(r'name="([\w-]+)-TOTAL_FORMS"', page)


def test_the_index_shows_totals_and_pending_refunds(admin_client, alice):
    page = admin_client.get("/admin/").content.decode()
    assert "Credits in accounts" in page
    assert "Requested refunds" in page
    assert "View" in page
