"""Signing in by password and by code, resetting the password; no response reveals which addresses exist."""

import re
from unittest import mock
from urllib.parse import urljoin, urlsplit

import pytest
from allauth.account.models import EmailAddress
from django.test import Client
from django.urls import reverse

from accounts.models import User
from tests.accounts.mailbox import code_sent_to, subjects_to
from tests.conftest import PASSWORD

NEW_PASSWORD = "another long passphrase"


@pytest.fixture
def confirmed(alice):
    """Alice with a verified address."""
    EmailAddress.objects.create(user=alice, email=alice.email, verified=True, primary=True)
    return alice


def sign_in(browser, address, password=PASSWORD, **query):
    url = reverse("account_login")
    target = f"{url}?next={query['next']}" if query else url
    return browser.post(target, {"login": address, "password": password} | query)


def signed_in_as(browser):
    return browser.session.get("_auth_user_id")


def shown(page, *differing):
    """The page with CSRF tokens removed and the given words replaced, for comparison."""
    text = re.sub(r'(csrfmiddlewaretoken" value="|X-CSRFToken": ")[^"]+', "", page.content.decode())
    for word in differing:
        text = text.replace(word, "ADDRESS")
    return text


def test_signing_in_with_address_and_password(confirmed):
    browser = Client()
    response = sign_in(browser, confirmed.email)
    assert response.url == "/"
    assert signed_in_as(browser) == str(confirmed.pk)


def test_signing_in_with_a_code_by_e_mail(confirmed):
    browser = Client()
    browser.post(reverse("account_request_login_code"), {"email": confirmed.email})
    browser.post(reverse("account_confirm_login_code"), {"code": code_sent_to(confirmed.email)})
    assert signed_in_as(browser) == str(confirmed.pk)


def test_an_address_that_was_never_verified_must_be_verified_first(alice):
    browser = Client()
    response = sign_in(browser, alice.email)
    assert response.url == reverse("account_email_verification_sent")
    assert signed_in_as(browser) is None
    browser.post(response.url, {"code": code_sent_to(alice.email)})
    assert signed_in_as(browser) == str(alice.pk)


def test_a_deactivated_user_gets_the_reason_only_with_the_right_password(confirmed):
    User.objects.filter(pk=confirmed.pk).update(is_active=False)
    assert sign_in(Client(), confirmed.email).url == reverse("account_inactive")
    assert sign_in(Client(), confirmed.email, "wrong").status_code == 200


@pytest.mark.fault("W10")
def test_signing_in_gives_the_session_a_new_key(confirmed):
    browser = Client()
    browser.get(reverse("account_login"))
    browser.post(reverse("account_reset_password"), {"email": "unknown@example.org"})  # an anonymous session
    before = browser.session.session_key
    sign_in(browser, confirmed.email)
    assert before
    assert browser.session.session_key != before


@pytest.mark.fault("W10")
def test_changing_the_password_ends_every_other_session(confirmed):
    current, other = Client(), Client()
    for browser in (current, other):
        sign_in(browser, confirmed.email)
    current.post(reverse("account_change_password"), {"oldpassword": PASSWORD, "password1": NEW_PASSWORD})
    assert current.get(reverse("settings")).status_code == 200
    assert other.get(reverse("settings")).status_code == 302
    assert "Your password was changed" in subjects_to(confirmed.email)


@pytest.mark.fault("W10")
def test_a_new_password_by_code_ends_every_session(confirmed):
    other, browser = Client(), Client()
    sign_in(other, confirmed.email)
    browser.post(reverse("account_reset_password"), {"email": confirmed.email})
    response = browser.post(
        reverse("account_confirm_password_reset_code"), {"code": code_sent_to(confirmed.email)}
    )
    browser.post(response.url, {"password1": NEW_PASSWORD})
    assert other.get(reverse("settings")).status_code == 302
    assert sign_in(Client(), confirmed.email, NEW_PASSWORD).url == "/"
    assert sign_in(Client(), confirmed.email).status_code == 200


def test_all_other_sessions_can_be_ended_from_the_list(confirmed):
    current, other = Client(), Client()
    for browser in (current, other):
        sign_in(browser, confirmed.email)
    page = current.get(reverse("usersessions_list"))
    assert page.content.decode().count("127.0.0.1") >= 2
    current.post(reverse("usersessions_list"))
    assert other.get(reverse("settings")).status_code == 302
    assert current.get(reverse("settings")).status_code == 200


@pytest.mark.fault("W3")
@pytest.mark.parametrize(
    "target",
    [
        "//evil.example",
        "https://evil.example/",
        "/\\evil.example",
        "http:///evil.example",
        "javascript:alert(1)",
        "http://localhost/",
        "%2F%2Fevil.example",
    ],
)
def test_signing_in_never_redirects_to_another_site(confirmed, target):
    response = sign_in(Client(), confirmed.email, next=target)
    assert response.status_code == 302
    here = "http://testserver/accounts/login/"
    assert urlsplit(urljoin(here, response.url.replace("\\", "/"))).netloc == "testserver"


@pytest.mark.fault("W3")
def test_signing_in_redirects_within_the_site(confirmed):
    assert sign_in(Client(), confirmed.email, next="/keys/").url == "/keys/"


@pytest.mark.fault("W3")
@pytest.mark.parametrize(("scheme", "followed"), [("https", True), ("http", False)])
def test_signing_in_on_a_site_with_https_never_redirects_to_http(confirmed, settings, scheme, followed):
    settings.SITE_URL = "https://portal.example.com"
    target = f"{scheme}://portal.example.com/keys/"
    response = sign_in(Client(), confirmed.email, next=target)
    assert response.status_code == 302
    assert (response.url == target) == followed


@pytest.mark.fault("W3")
def test_signing_out_never_redirects_to_another_site(confirmed, signed_in):
    response = signed_in(confirmed).post(reverse("account_logout"), {"next": "//evil.example"})
    assert response.url == reverse("account_login")


@pytest.mark.fault("W3")
def test_a_forged_host_is_refused_and_never_used_in_an_e_mail(confirmed):
    response = Client().post(
        reverse("account_reset_password"), {"email": confirmed.email}, headers={"host": "evil.example"}
    )
    assert response.status_code == 400
    assert subjects_to(confirmed.email) == []


@pytest.mark.fault("W5")
def test_a_wrong_password_and_an_unknown_address_get_the_same_response(confirmed):
    wrong, unknown = Client(), Client()
    pages = [sign_in(wrong, confirmed.email, "wrong"), sign_in(unknown, "unknown@example.org", "wrong")]
    assert {page.status_code for page in pages} == {200}
    assert shown(pages[0], confirmed.email) == shown(pages[1], "unknown@example.org")


@pytest.mark.fault("W5")
def test_an_unknown_address_takes_a_password_hash_as_well(confirmed):
    hashed = []
    hasher = "django.contrib.auth.hashers.MD5PasswordHasher.encode"
    with mock.patch(hasher, side_effect=lambda *a, **k: hashed.append(1) or "md5$x$y", autospec=True):
        sign_in(Client(), confirmed.email, "wrong")
        for_known_address = len(hashed)
        sign_in(Client(), "unknown@example.org", "wrong")
    assert for_known_address == len(hashed) - for_known_address > 0


@pytest.mark.fault("W5")
@pytest.mark.parametrize("name", ["account_reset_password", "account_request_login_code"])
def test_requesting_a_code_gets_the_same_response_for_every_address(confirmed, name):
    results = []
    for address in (confirmed.email, "unknown@example.org"):
        browser = Client()
        response = browser.post(reverse(name), {"email": address})
        page = browser.get(response.url)
        results.append((response.status_code, response.url, page.status_code, shown(page, address)))
        assert len(subjects_to(address)) == 1
    assert results[0] == results[1]


def test_password_attempts_are_limited(confirmed):
    for _ in range(5):
        sign_in(Client(), confirmed.email, "wrong")
    page = sign_in(Client(), confirmed.email)
    assert "Wait five minutes" in page.content.decode()


@pytest.mark.fault("W1")
def test_signing_in_requires_the_csrf_token(confirmed):
    assert sign_in(Client(enforce_csrf_checks=True), confirmed.email).status_code == 403


def test_changing_the_address_requires_the_code_sent_to_the_new_one(confirmed):
    browser = Client()
    sign_in(browser, confirmed.email)
    browser.post(reverse("account_reauthenticate"), {"password": PASSWORD})
    browser.post(reverse("account_email"), {"email": "Alice.New@example.org", "action_add": "1"})
    confirmed.refresh_from_db()
    assert confirmed.email == "alice@example.org"
    browser.post(reverse("account_email_verification_sent"), {"code": code_sent_to("alice.new@example.org")})
    confirmed.refresh_from_db()
    assert confirmed.email == "alice.new@example.org"
    assert "Your e-mail address was changed" in subjects_to("alice@example.org")


@pytest.mark.parametrize(
    "name",
    ["account_login", "account_signup", "account_reset_password", "account_request_login_code"],
)
def test_every_sign_in_page_has_the_portals_layout(catalogue, name):
    page = Client().get(reverse(name)).content.decode()
    assert "Refly" in page
    assert "placeholder" not in page


@pytest.mark.parametrize(
    "name", ["account_email", "account_change_password", "mfa_index", "usersessions_list", "account_logout"]
)
def test_every_page_about_the_sign_in_has_the_portals_layout(confirmed, name):
    browser = Client()
    sign_in(browser, confirmed.email)
    page = browser.get(reverse(name))
    assert page.status_code == 200
    assert "Refly" in page.content.decode()


def test_a_user_created_by_staff_sets_a_password_by_code(staff, signed_in):
    signed_in(staff).post(
        "/admin/accounts/user/add/",
        {"email": "erik@example.org", "memberships-TOTAL_FORMS": "0", "memberships-INITIAL_FORMS": "0"},
    )
    browser = Client()
    browser.post(reverse("account_reset_password"), {"email": "erik@example.org"})
    response = browser.post(
        reverse("account_confirm_password_reset_code"), {"code": code_sent_to("erik@example.org")}
    )
    browser.post(response.url, {"password1": NEW_PASSWORD})
    client = Client()
    response = sign_in(client, "erik@example.org", NEW_PASSWORD)
    if response.url == reverse("account_email_verification_sent"):
        client.post(response.url, {"code": code_sent_to("erik@example.org")})
    assert signed_in_as(client) == str(User.objects.get(email="erik@example.org").pk)


def test_a_password_that_was_set_before_the_address_was_verified_does_not_outlast_a_sign_in_by_code(alice):
    """Somebody else may have signed up with the address of the owner, and wait."""
    EmailAddress.objects.create(user=alice, email=alice.email, verified=False, primary=True)
    owner = Client()
    owner.post(reverse("account_request_login_code"), {"email": alice.email})
    owner.post(reverse("account_confirm_login_code"), {"code": code_sent_to(alice.email)})
    assert signed_in_as(owner) == str(alice.pk)
    assert "Your password was removed" in owner.get(reverse("settings")).content.decode()

    other = Client()
    sign_in(other, alice.email)
    assert signed_in_as(other) is None
    alice.refresh_from_db()
    assert not alice.has_usable_password()


def test_a_password_of_a_verified_address_outlasts_a_sign_in_by_code(confirmed):
    browser = Client()
    browser.post(reverse("account_request_login_code"), {"email": confirmed.email})
    browser.post(reverse("account_confirm_login_code"), {"code": code_sent_to(confirmed.email)})
    assert signed_in_as(browser) == str(confirmed.pk)
    browser.post(reverse("account_reauthenticate"), {"password": PASSWORD})
    browser.post(reverse("account_email"), {"email": "alice.new@example.org", "action_add": "1"})
    browser.post(reverse("account_email_verification_sent"), {"code": code_sent_to("alice.new@example.org")})
    assert EmailAddress.objects.get(user=confirmed, verified=True).email == "alice.new@example.org"
    confirmed.refresh_from_db()
    assert confirmed.check_password(PASSWORD)
