"""An authenticator app: turned on and off, asked for at sign-in, encrypted at rest."""

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
    """What the app shows now."""
    counter = next(iter(totp.yield_hotp_counters_from_time()))
    return totp.format_hotp_value(totp.hotp_value(secret, counter))


def prove(browser):
    """Enter the password once more, as what touches the sign-in asks for."""
    browser.post(reverse("account_reauthenticate"), {"password": PASSWORD})


def turn_on(browser):
    """Turn the second factor on as a person does; returns the app's secret."""
    prove(browser)
    browser.get(reverse("mfa_activate_totp"))
    secret = browser.session["mfa.totp.secret"]
    answer = browser.post(reverse("mfa_activate_totp"), {"code": code_of(secret)})
    assert answer.status_code == 302, answer.content.decode()
    return secret


@pytest.mark.fault("W10")
@pytest.mark.django_db(transaction=True)
def test_turning_it_on_ends_every_other_session(confirmed):
    here, elsewhere = Client(), Client()
    for browser in (here, elsewhere):
        sign_in(browser, confirmed)
    before = here.session.session_key
    turn_on(here)
    assert here.get(reverse("settings")).status_code == 200
    assert here.session.session_key != before
    assert elsewhere.get(reverse("settings")).status_code == 302
    assert "Two-step sign-in is on" in subjects_to(confirmed.email)


@pytest.mark.fault("W10")
@pytest.mark.django_db(transaction=True)
def test_turning_it_off_ends_every_other_session(confirmed):
    here = Client()
    sign_in(here, confirmed)
    secret = turn_on(here)
    elsewhere = Client()
    sign_in(elsewhere, confirmed)
    elsewhere.post(reverse("mfa_authenticate"), {"code": code_of(secret)})
    if elsewhere.get(reverse("settings")).status_code != 200:  # the app's code is good once
        codes = Authenticator.objects.get(user=confirmed, type="recovery_codes").wrap().get_unused_codes()
        elsewhere.post(reverse("mfa_authenticate"), {"code": codes[0]})
    assert elsewhere.get(reverse("settings")).status_code == 200

    here.post(reverse("mfa_deactivate_totp"))

    assert not Authenticator.objects.filter(user=confirmed).exists()
    assert here.get(reverse("settings")).status_code == 200
    assert elsewhere.get(reverse("settings")).status_code == 302


def test_signing_in_asks_for_it(confirmed):
    here = Client()
    sign_in(here, confirmed)
    turn_on(here)
    browser = Client()
    assert sign_in(browser, confirmed).url.startswith(reverse("mfa_authenticate"))
    assert "_auth_user_id" not in browser.session
    page = browser.post(reverse("mfa_authenticate"), {"code": "000000"})
    assert "the next code in your app" in page.content.decode()
    codes = Authenticator.objects.get(user=confirmed, type="recovery_codes").wrap().get_unused_codes()
    browser.post(reverse("mfa_authenticate"), {"code": codes[0]})
    assert browser.session["_auth_user_id"] == str(confirmed.pk)


def test_a_recovery_code_is_good_once(confirmed):
    here = Client()
    sign_in(here, confirmed)
    turn_on(here)
    code = Authenticator.objects.get(user=confirmed, type="recovery_codes").wrap().get_unused_codes()[0]
    for expected in (True, False):
        browser = Client()
        sign_in(browser, confirmed)
        browser.post(reverse("mfa_authenticate"), {"code": code})
        assert ("_auth_user_id" in browser.session) is expected


def test_a_code_by_mail_does_not_go_around_it(confirmed):
    from tests.accounts.mailbox import code_sent_to

    here = Client()
    sign_in(here, confirmed)
    turn_on(here)
    browser = Client()
    browser.post(reverse("account_request_login_code"), {"email": confirmed.email})
    answer = browser.post(reverse("account_confirm_login_code"), {"code": code_sent_to(confirmed.email)})
    assert answer.url.startswith(reverse("mfa_authenticate"))
    assert "_auth_user_id" not in browser.session


@pytest.mark.fault("W9")
def test_the_secret_of_the_app_is_not_readable_in_the_database(confirmed):
    browser = Client()
    sign_in(browser, confirmed)
    secret = turn_on(browser)
    rows = [str(row.data) for row in Authenticator.objects.filter(user=confirmed)]
    assert rows
    assert not any(secret in row for row in rows)


def test_the_app_is_told_the_products_name(confirmed):
    browser = Client()
    sign_in(browser, confirmed)
    prove(browser)
    page = browser.get(reverse("mfa_activate_totp"))
    assert "issuer=Refly" in page.context["totp_url"]
    assert "<img" in page.content.decode()


def test_turning_it_on_asks_for_the_password_of_an_old_sign_in(confirmed, signed_in):
    assert (
        signed_in(confirmed)
        .get(reverse("mfa_activate_totp"))
        .url.startswith(reverse("account_reauthenticate"))
    )


@pytest.mark.parametrize(
    "name", ["mfa_index", "mfa_deactivate_totp", "mfa_view_recovery_codes", "mfa_generate_recovery_codes"]
)
def test_every_page_about_it_is_a_page_of_ours(confirmed, name):
    browser = Client()
    sign_in(browser, confirmed)
    turn_on(browser)
    page = browser.get(reverse(name))
    assert page.status_code == 200
    assert "Refly" in page.content.decode()
