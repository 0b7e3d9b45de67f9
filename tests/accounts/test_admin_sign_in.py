"""The admin requires staff, uses the portal's sign-in, and requires a second factor where configured."""

import pytest
from allauth.account.models import EmailAddress
from django.test import Client
from django.urls import reverse

from tests.accounts.test_second_factor import code_of, confirm_password, sign_in, turn_on


@pytest.fixture
def confirmed_staff(staff):
    EmailAddress.objects.create(user=staff, email=staff.email, verified=True, primary=True)
    return staff


def test_a_visitor_is_redirected_to_the_portals_sign_in(catalogue):
    response = Client().get("/admin/", follow=True)
    assert response.redirect_chain[-1][0].startswith(reverse("account_login"))


def test_the_admins_own_sign_in_form_is_disabled(confirmed_staff):
    response = Client().post("/admin/login/", {"username": confirmed_staff.email, "password": "x"})
    assert response.status_code == 302
    assert response.url.startswith(reverse("account_login"))


def test_a_user_who_is_not_staff_is_refused(alice, signed_in):
    response = signed_in(alice).get("/admin/", follow=True)
    assert response.status_code == 403


def test_staff_can_open_the_admin(staff, signed_in):
    assert signed_in(staff).get("/admin/").status_code == 200


@pytest.mark.fault("W10")
def test_staff_without_a_second_factor_are_redirected_to_set_one_up(confirmed_staff, settings):
    settings.STAFF_MFA_REQUIRED = True
    browser = Client()
    sign_in(browser, confirmed_staff)
    confirm_password(browser)
    response = browser.get("/admin/", follow=True)
    assert response.redirect_chain[-1][0] == reverse("mfa_activate_totp")
    assert browser.get("/admin/accounts/user/").status_code == 302


@pytest.mark.fault("W10")
def test_staff_enter_the_second_factor_and_can_open_the_admin(confirmed_staff, settings):
    settings.STAFF_MFA_REQUIRED = True
    browser = Client()
    sign_in(browser, confirmed_staff)
    secret = turn_on(browser)
    response = browser.get("/admin/accounts/user/", follow=True)
    assert response.redirect_chain[-1][0].startswith(reverse("mfa_reauthenticate"))

    response = browser.post(
        response.redirect_chain[-1][0], {"code": code_of(secret), "next": "/admin/accounts/user/"}
    )
    assert response.url == "/admin/accounts/user/"
    assert browser.get("/admin/accounts/user/").status_code == 200


@pytest.mark.fault("W10")
def test_turning_the_second_factor_off_ends_access_to_the_admin(confirmed_staff, settings):
    settings.STAFF_MFA_REQUIRED = True
    browser = Client()
    sign_in(browser, confirmed_staff)
    secret = turn_on(browser)
    browser.post(reverse("mfa_reauthenticate"), {"code": code_of(secret)})
    assert browser.get("/admin/").status_code == 200
    browser.post(reverse("mfa_deactivate_totp"))
    assert browser.get("/admin/").status_code == 302


@pytest.mark.fault("W3")
def test_the_sign_in_of_the_admin_never_redirects_to_another_site(staff, signed_in):
    response = signed_in(staff).get("/admin/login/?next=//evil.example")
    assert response.url == "/admin/"
