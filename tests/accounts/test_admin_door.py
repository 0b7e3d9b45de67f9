"""The admin lets staff in, by the portal's own sign-in, and with a second factor where that is asked for."""

import pytest
from allauth.account.models import EmailAddress
from django.test import Client
from django.urls import reverse

from tests.accounts.test_second_factor import code_of, prove, sign_in, turn_on


@pytest.fixture
def confirmed_staff(staff):
    EmailAddress.objects.create(user=staff, email=staff.email, verified=True, primary=True)
    return staff


def test_a_visitor_is_sent_to_the_portals_sign_in(catalogue):
    answer = Client().get("/admin/", follow=True)
    assert answer.redirect_chain[-1][0].startswith(reverse("account_login"))


def test_the_admins_own_form_signs_nobody_in(confirmed_staff):
    answer = Client().post("/admin/login/", {"username": confirmed_staff.email, "password": "x"})
    assert answer.status_code == 302
    assert answer.url.startswith(reverse("account_login"))


def test_a_user_who_is_not_staff_is_refused(alice, signed_in):
    answer = signed_in(alice).get("/admin/", follow=True)
    assert answer.status_code == 403


def test_staff_see_the_admin(staff, signed_in):
    assert signed_in(staff).get("/admin/").status_code == 200


@pytest.mark.fault("W10")
def test_staff_without_a_second_factor_are_sent_to_set_one_up(confirmed_staff, settings):
    settings.STAFF_MFA_REQUIRED = True
    browser = Client()
    sign_in(browser, confirmed_staff)
    prove(browser)
    answer = browser.get("/admin/", follow=True)
    assert answer.redirect_chain[-1][0] == reverse("mfa_activate_totp")
    assert browser.get("/admin/accounts/user/").status_code == 302


@pytest.mark.fault("W10")
def test_staff_show_the_second_factor_and_are_in(confirmed_staff, settings):
    settings.STAFF_MFA_REQUIRED = True
    browser = Client()
    sign_in(browser, confirmed_staff)
    secret = turn_on(browser)
    answer = browser.get("/admin/accounts/user/", follow=True)
    assert answer.redirect_chain[-1][0].startswith(reverse("mfa_reauthenticate"))

    answer = browser.post(
        answer.redirect_chain[-1][0], {"code": code_of(secret), "next": "/admin/accounts/user/"}
    )
    assert answer.url == "/admin/accounts/user/"
    assert browser.get("/admin/accounts/user/").status_code == 200


@pytest.mark.fault("W10")
def test_who_turns_the_second_factor_off_is_out_again(confirmed_staff, settings):
    settings.STAFF_MFA_REQUIRED = True
    browser = Client()
    sign_in(browser, confirmed_staff)
    secret = turn_on(browser)
    browser.post(reverse("mfa_reauthenticate"), {"code": code_of(secret)})
    assert browser.get("/admin/").status_code == 200
    browser.post(reverse("mfa_deactivate_totp"))
    assert browser.get("/admin/").status_code == 302


@pytest.mark.fault("W3")
def test_the_admins_door_leads_to_no_other_site(staff, signed_in):
    answer = signed_in(staff).get("/admin/login/?next=//evil.example")
    assert answer.url == "/admin/"
