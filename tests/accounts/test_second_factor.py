"""The second factor (authenticator app): turned on and off, required at sign-in, encrypted at rest."""

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal import auth as totp
from django.test import Client
from django.urls import reverse

from tests.accounts.mailbox import subjects_to
from tests.conftest import PASSWORD


@pytest.fixture
def confirmed(alice):
    EmailAddress.objects.create(user=alice, email=alice.email, verified=True, primary=True)
    return alice


def sign_in(browser, user):
    return browser.post(reverse("account_login"), {"login": user.email, "password": PASSWORD})


def code_of(secret):
    """The code that the app shows now."""
    counter = next(iter(totp.yield_hotp_counters_from_time()))
    return totp.format_hotp_value(totp.hotp_value(secret, counter))


def confirm_password(browser):
    """Enter the password again, which changes of the sign-in require."""
    browser.post(reverse("account_reauthenticate"), {"password": PASSWORD})


def turn_on(browser):
    """Turn the second factor on through the pages; returns the app's secret."""
    confirm_password(browser)
    browser.get(reverse("mfa_activate_totp"))
    secret = browser.session["mfa.totp.secret"]
    response = browser.post(reverse("mfa_activate_totp"), {"code": code_of(secret)})
    assert response.status_code == 302, response.content.decode()
    return secret


@pytest.mark.fault("W10")
@pytest.mark.django_db(transaction=True)
def test_turning_it_on_ends_every_other_session(confirmed):
    current, other = Client(), Client()
    for browser in (current, other):
        sign_in(browser, confirmed)
    before = current.session.session_key
    turn_on(current)
    assert current.get(reverse("settings")).status_code == 200
    assert current.session.session_key != before
    assert "This session" in current.get(reverse("usersessions_list")).content.decode()
    assert other.get(reverse("settings")).status_code == 302
    assert "Two-step sign-in is on" in subjects_to(confirmed.email)


@pytest.mark.fault("W10")
@pytest.mark.django_db(transaction=True)
def test_turning_it_off_ends_every_other_session(confirmed):
    current = Client()
    sign_in(current, confirmed)
    secret = turn_on(current)
    other = Client()
    sign_in(other, confirmed)
    other.post(reverse("mfa_authenticate"), {"code": code_of(secret)})
    if other.get(reverse("settings")).status_code != 200:  # a code of the app is valid once
        codes = Authenticator.objects.get(user=confirmed, type="recovery_codes").wrap().get_unused_codes()
        other.post(reverse("mfa_authenticate"), {"code": codes[0]})
    assert other.get(reverse("settings")).status_code == 200

    current.post(reverse("mfa_deactivate_totp"))

    assert not Authenticator.objects.filter(user=confirmed).exists()
    assert current.get(reverse("settings")).status_code == 200
    assert other.get(reverse("settings")).status_code == 302


def test_signing_in_requires_it(confirmed):
    current = Client()
    sign_in(current, confirmed)
    turn_on(current)
    browser = Client()
    assert sign_in(browser, confirmed).url.startswith(reverse("mfa_authenticate"))
    assert "_auth_user_id" not in browser.session
    page = browser.post(reverse("mfa_authenticate"), {"code": "000000"})
    assert "the next code in your app" in page.content.decode()
    codes = Authenticator.objects.get(user=confirmed, type="recovery_codes").wrap().get_unused_codes()
    browser.post(reverse("mfa_authenticate"), {"code": codes[0]})
    assert browser.session["_auth_user_id"] == str(confirmed.pk)


def test_a_recovery_code_is_valid_once(confirmed):
    current = Client()
    sign_in(current, confirmed)
    turn_on(current)
    code = Authenticator.objects.get(user=confirmed, type="recovery_codes").wrap().get_unused_codes()[0]
    for expected in (True, False):
        browser = Client()
        sign_in(browser, confirmed)
        browser.post(reverse("mfa_authenticate"), {"code": code})
        assert ("_auth_user_id" in browser.session) is expected


def test_a_code_by_e_mail_does_not_replace_it(confirmed):
    from tests.accounts.mailbox import code_sent_to

    current = Client()
    sign_in(current, confirmed)
    turn_on(current)
    browser = Client()
    browser.post(reverse("account_request_login_code"), {"email": confirmed.email})
    response = browser.post(reverse("account_confirm_login_code"), {"code": code_sent_to(confirmed.email)})
    assert response.url.startswith(reverse("mfa_authenticate"))
    assert "_auth_user_id" not in browser.session


@pytest.mark.fault("W9")
def test_the_secret_of_the_app_is_not_readable_in_the_database(confirmed):
    browser = Client()
    sign_in(browser, confirmed)
    secret = turn_on(browser)
    rows = [str(row.data) for row in Authenticator.objects.filter(user=confirmed)]
    assert rows
    assert not any(secret in row for row in rows)


def test_the_app_gets_the_name_of_the_product(confirmed):
    browser = Client()
    sign_in(browser, confirmed)
    confirm_password(browser)
    page = browser.get(reverse("mfa_activate_totp"))
    assert "issuer=Refly" in page.context["totp_url"]
    assert "<img" in page.content.decode()


def test_turning_it_on_requires_the_password_after_an_older_sign_in(confirmed, signed_in):
    assert (
        signed_in(confirmed)
        .get(reverse("mfa_activate_totp"))
        .url.startswith(reverse("account_reauthenticate"))
    )


@pytest.mark.parametrize(
    "name", ["mfa_index", "mfa_deactivate_totp", "mfa_view_recovery_codes", "mfa_generate_recovery_codes"]
)
def test_every_page_about_it_has_the_portals_layout(confirmed, name):
    browser = Client()
    sign_in(browser, confirmed)
    turn_on(browser)
    page = browser.get(reverse(name))
    assert page.status_code == 200
    assert "Refly" in page.content.decode()
