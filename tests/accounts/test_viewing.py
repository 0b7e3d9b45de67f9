"""Staff view the portal as a customer: read-only, without secrets, for half an hour, recorded (Z7)."""

import json
import re
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import NoReverseMatch, URLPattern, get_resolver, resolve, reverse
from django.utils import timezone

from accounts import api_keys, staff_roles, viewing
from accounts.models import Account, ApiKey, Membership, User
from billing.models import Purchase
from core.models import StaffAct
from tests.access import world
from tests.access.test_matrix import CHANGE, routes
from tests.api import Api
from tests.conftest import person
from tests.usage.spending import give, spend
from usage import live_updates

pytestmark = [pytest.mark.django_db, pytest.mark.fault("Z7")]
METHODS = ("POST", "PUT", "PATCH", "DELETE")
# The shown pages of one object, and the kind of it.
OBJECTS = {"project": "project", "charge": "charge", "member": "member", "budget": "hold"}
OBJECTS |= dict.fromkeys(("purchase", "invoice", "invoice_pdf"), "purchase")


@pytest.fixture
def account(alice, account_of) -> Account:
    account = account_of(alice)
    give(account, "50", timezone.now())
    spend(account, "2", timezone.now())
    return account


@pytest.fixture
def sue(staff) -> User:
    """A member of staff with the role support."""
    user = person("sue")
    staff_roles.assign(user, staff_roles.Role.SUPPORT, by=staff)
    return User.objects.get(pk=user.pk)


@pytest.fixture
def browser(sue, account, signed_in) -> Client:
    """Sue's browser, which views alice's account."""
    client = signed_in(sue)
    assert begin(client, account).url == "/"
    return client


def begin(client, account):
    return client.post(f"/admin/accounts/account/{account.pk}/view-as/", {"reason": "asked by phone"})


def shown_paths() -> list[str]:
    """The paths of all shown pages without an id."""
    found = []
    for name in sorted(viewing.SHOWN):
        try:
            found.append(reverse(name))
        except NoReverseMatch:
            continue
    return found


def test_the_pages_are_those_of_the_customer_with_a_banner(browser, alice, sue, account):
    page = browser.get("/")
    text = page.content.decode()
    assert page.context["user"] == alice
    for words in (f"You, {sue.email}, view the portal as {alice.email}, read-only", "End view", alice.email):
        assert words in text
    history = browser.get("/history/").content.decode()
    assert "End view" in history
    act = StaffAct.objects.get()
    assert (act.act, act.actor_id, act.account_id) == ("account.view_as", sue.pk, account.pk)
    assert (act.reason, act.after["user"]) == ("asked by phone", alice.public_id)
    assert act.after["customer_sees_this"] is True


def test_no_shown_page_fails_or_writes_anything(browser, account, alice, api_of):
    ids = world.create_objects(account, alice, api_of(alice)).object_ids
    of_objects = [reverse(name, args=[ids[kind]]) for name, kind in OBJECTS.items()]
    paths = [*shown_paths(), *of_objects, reverse("service", args=["gpt-4o"])]
    assert len(paths) > 35
    assert {resolve(path).url_name for path in paths} == viewing.SHOWN
    for path in paths:
        with CaptureQueriesContext(connection) as queries:
            response = browser.get(path)
        # without a server that follows, live updates are empty
        assert response.status_code == (204 if path == "/live" else 200), path
        assert not [query["sql"] for query in queries if CHANGE.search(query["sql"])], path


def test_every_other_method_and_every_page_that_is_not_listed_is_refused(browser, account, alice):
    before = Membership.objects.count(), ApiKey.objects.count(), Purchase.objects.count()
    refused = 0
    for route, pattern in routes():
        path = "/" + re.sub("<[^>]*>", "x", route.replace("^", "").replace("$", ""))
        if path.startswith(viewing.OWN) or pattern.name in viewing.NEUTRAL:
            continue
        for method in METHODS:
            assert browser.generic(method, path).status_code == 403, (method, path)
        if pattern.name not in viewing.SHOWN:
            assert browser.get(path).status_code == 403, path
            refused += 1
    assert refused > 40
    assert (Membership.objects.count(), ApiKey.objects.count(), Purchase.objects.count()) == before
    assert "End view" in browser.get("/keys/").content.decode()
    for name in ("api_keys", "webhooks", "provider_keys", "personal_data", "statement_json", "history_csv"):
        assert browser.get(reverse(name)).status_code == 403, name
    assert {pattern.name for _, pattern in routes() if isinstance(pattern, URLPattern)} >= viewing.SHOWN
    assert get_resolver()


def test_sign_in_settings_and_the_api_remain_those_of_the_member_of_staff(browser, sue, alice, account):
    page = browser.get("/accounts/email/").content.decode()
    assert sue.email in page
    assert alice.email not in page
    balance = browser.get("/api/v1/balance")
    assert balance.status_code == 200
    assert account.public_id not in balance.content.decode()
    assert browser.post("/api/v1/projects", {"name": "x"}, content_type="application/json").status_code != 500
    assert not account.projects.exists()


def test_the_view_ends_with_one_click_and_is_recorded(browser, account, sue):
    end = f"/admin/accounts/account/{account.pk}/end-view/"
    assert browser.get(end).status_code == 405
    assert browser.post(end).url == f"/admin/accounts/account/{account.pk}/customer/"
    assert browser.get("/").context["user"] == sue
    assert set(StaffAct.objects.values_list("act", flat=True)) == {"account.view_as", "account.view_as_end"}
    browser.post(end)
    assert StaffAct.objects.count() == 2


def test_the_view_ends_after_half_an_hour(clock, browser, sue):
    clock.shift(timedelta(minutes=30) - timedelta(seconds=1))
    assert browser.get("/").status_code == 200
    clock.shift(1)
    assert browser.get("/dashboard/balance").url == "/admin/"
    assert browser.get("/").context["user"] == sue


@pytest.mark.parametrize(
    "change", ["staff left", "right taken", "customer left", "customer joined staff", "erased"]
)
def test_the_view_ends_at_once_when_a_right_is_gone(change, browser, sue, staff, alice, account, team):
    if change == "staff left":
        User.objects.filter(pk=sue.pk).update(is_active=False)
    elif change == "right taken":
        staff_roles.assign(sue, staff_roles.Role.CATALOGUE_MANAGER, by=staff)
    elif change == "customer left":
        Membership.objects.filter(account=account, user=alice).delete()
    elif change == "customer joined staff":
        User.objects.filter(pk=alice.pk).update(is_staff=True)
    else:
        Account.objects.filter(pk=account.pk).update(erased_at=timezone.now())
    response = browser.get("/history/")
    assert response.status_code == 302
    assert alice.email not in browser.get(response.url, follow=True).content.decode()


def test_staff_and_those_without_the_right_are_not_viewed_and_do_not_view(
    staff, sue, account, account_of, signed_in, bob
):
    client = signed_in(sue)
    for target in (staff, sue):
        response = begin(client, account_of(target))
        assert "Members of staff are never viewed" in response.content.decode()
    catalogue = person("carl")
    staff_roles.assign(catalogue, staff_roles.Role.CATALOGUE_MANAGER, by=staff)
    for user in (User.objects.get(pk=catalogue.pk), bob):
        begin(signed_in(user), account)
    assert begin(client, account).status_code == 302
    Account.objects.filter(pk=account.pk).update(erased_at=timezone.now())
    assert "no owner who can be viewed" in begin(client, account).content.decode()
    assert StaffAct.objects.count() == 1


def test_a_view_in_a_team_keeps_to_that_account(team, alice, bob, sue, signed_in, account_of):
    client = signed_in(sue)
    long_ago = timezone.now() - timedelta(days=1)
    Membership.objects.filter(account=team, user=bob).update(created_at=long_ago)  # longer than the owner
    for name, created_at, is_active in (("newer", timezone.now(), True), ("left", long_ago, False)):
        owner = {"user": person(name, is_active=is_active), "role": Membership.Role.OWNER}
        Membership.objects.create(account=team, created_at=created_at, **owner)
    begin(client, team)
    page = client.get("/")
    assert page.context["request"].account == team
    assert page.context["user"] == alice  # its oldest owner who can sign in
    assert "account" not in client.session
    assert client.post(f"/switch/{account_of(alice).public_id}/").status_code == 403


def test_two_tabs_do_not_view_two_customers(browser, account, account_of, charlie):
    assert "End that view first" in begin(browser, account_of(charlie)).content.decode()
    assert browser.get("/").context["request"].account == account
    browser.post(f"/admin/accounts/account/{account.pk}/end-view/")
    assert begin(browser, account_of(charlie)).status_code == 302
    assert browser.get("/").context["request"].account == account_of(charlie)


def test_another_session_of_the_customer_and_the_list_of_sessions_are_untouched(browser, alice, signed_in):
    own = signed_in(alice)
    browser.get("/")
    assert own.get("/").status_code == 200
    assert "End view" not in own.get("/").content.decode()


def test_the_customers_data_says_that_staff_looked(browser, alice, account, signed_in):
    response = signed_in(alice).get("/settings/data.json")
    views = json.loads(b"".join(response.streaming_content))["views_by_staff"]
    assert len(views) == 1
    assert set(views[0]) == {"created_at"}


def test_live_updates_follow_the_viewed_account_until_the_view_ends(browser, account, alice):
    followers = []
    assert browser.get("/live", **{"refill.follow": followers.append}).status_code == 200
    (follower,) = followers
    now = timezone.now()
    assert (follower.account_id, follower.user_id) == (account.pk, alice.pk)
    assert live_updates.stamps([follower], now) == [follower.stamp] != [""]
    spend(account, "1", now)
    assert live_updates.version_of(account.pk, now) != follower.version
    browser.post(f"/admin/accounts/account/{account.pk}/end-view/")
    assert live_updates.stamps([follower], now) != [follower.stamp]


def test_a_key_of_the_customer_is_no_way_in(browser, alice, account):
    issued = api_keys.issue(
        kind="account", name="p", scopes=["read"], account=account, created_by=alice, now=timezone.now()
    )
    text = browser.get("/settings/").content.decode() + browser.get("/").content.decode()
    assert issued.secret not in text
    assert issued.key.prefix not in text
    assert Api(issued.secret).get("/api/v1/balance").status_code == 200  # the customer's own calls go on
