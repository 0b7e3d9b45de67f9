"""Pages act for the account that the member has selected, and only for accounts of that user."""

import pytest
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse
from django.test import Client, RequestFactory
from django.urls import reverse
from django.utils import timezone

from accounts import access, memberships
from accounts.models import Account, Membership, User


def acting_for(browser):
    """The account that the settings page shows."""
    return browser.get(reverse("settings")).context["request"].account


def switch(browser, account, **form):
    return browser.post(reverse("switch_account", args=[account.public_id]), form)


def test_a_visitor_is_redirected_to_sign_in_and_back(catalogue):
    response = Client().get("/keys/")
    assert response.status_code == 302
    assert response.url == "/accounts/login/?next=/keys/"


def test_a_member_starts_in_the_personal_account(team, bob, account_of, signed_in):
    assert acting_for(signed_in(bob)) == account_of(bob)


def test_a_member_switches_to_the_team_and_stays_there(team, bob, signed_in):
    browser = signed_in(bob)
    assert switch(browser, team).url == reverse("dashboard")
    assert acting_for(browser) == team
    assert acting_for(browser) == team


@pytest.mark.fault("Z1")
def test_a_user_cannot_switch_to_an_account_of_others(team, charlie, account_of, signed_in):
    browser = signed_in(charlie)
    assert switch(browser, team).status_code == 404
    assert acting_for(browser) == account_of(charlie)


@pytest.mark.fault("Z1")
@pytest.mark.parametrize("name", ["acct_" + "0" * 32, "acct_x", "user_" + "0" * 32])
def test_an_account_that_does_not_exist_gets_the_same_response_as_one_of_others(charlie, signed_in, name):
    assert signed_in(charlie).post(f"/switch/{name}/").status_code == 404


@pytest.mark.fault("Z1")
def test_a_member_removed_from_the_team_is_back_in_the_personal_account(team, bob, account_of, signed_in):
    browser = signed_in(bob)
    switch(browser, team)
    memberships.remove(Membership.objects.get(user=bob, account=team), timezone.now())
    assert acting_for(browser) == account_of(bob)


def test_an_erased_account_cannot_be_selected(team, bob, account_of, signed_in):
    browser = signed_in(bob)
    switch(browser, team)
    Account.objects.filter(pk=team.pk).update(erased_at=timezone.now())
    assert acting_for(browser) == account_of(bob)
    assert switch(browser, team).status_code == 404


@pytest.mark.fault("W3")
def test_switching_the_account_never_redirects_to_another_site(team, bob, signed_in):
    browser = signed_in(bob)
    assert switch(browser, team, next="//evil.example").url == reverse("dashboard")
    assert switch(browser, team, next="/keys/").url == "/keys/"


def test_a_user_created_on_the_command_line_gets_an_account_at_the_first_visit(catalogue, signed_in):
    user = User.objects.create_superuser("root@example.org", "a long enough passphrase")
    account = acting_for(signed_in(user))
    assert account.person == user
    assert account.memberships.get().role == "owner"


@pytest.mark.fault("Z4")
def test_a_role_is_checked_before_the_view_runs(team, bob):
    calls = []

    @access.buyers_only
    def view(request):
        calls.append(request)
        return HttpResponse()

    request = RequestFactory().post("/")
    request.membership = Membership.objects.get(user=bob, account=team)
    with pytest.raises(PermissionDenied):
        view(request)
    assert calls == []
    request.membership.role = "billing"
    assert view(request).status_code == 200
