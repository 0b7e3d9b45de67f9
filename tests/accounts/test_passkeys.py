"""Passkeys: hostile answers of a browser, the host that they belong to, and who may sign in with them."""

import json

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from django.test import Client
from django.urls import reverse

from accounts import passkeys
from accounts.models import User
from tests.accounts.test_second_factor import confirm_password, sign_in

pytestmark = pytest.mark.django_db

PART = {"clientDataJSON": "e30", "authenticatorData": "YQ", "signature": "YQ", "attestationObject": "YQ"}
HOSTILE = [
    *("[]", '"x"', "{}", "null", "5", "not JSON", '{"response": {}}'),
    json.dumps({"id": "x", "rawId": "y", "type": "public-key", "response": PART | {"userHandle": "YQ"}}),
    json.dumps({"id": "YQ", "rawId": "YQ", "type": "public-key", "response": PART | {"userHandle": 5}}),
    json.dumps({"id": [1], "rawId": {}, "type": 3, "response": []}),
    json.dumps({"id": "\x00", "rawId": "\x00", "type": "public-key", "response": PART}),
]


@pytest.fixture
def confirmed(alice: User) -> User:
    EmailAddress.objects.create(user=alice, email=alice.email, verified=True, primary=True)
    return alice


def test_a_malformed_answer_is_a_wrong_one(confirmed: User, settings) -> None:
    settings.ACCOUNT_RATE_LIMITS = settings.MFA_RATE_LIMITS = False
    browser, visitor = Client(headers={"accept": "application/json"}), Client()
    sign_in(browser, confirmed)
    confirm_password(browser)
    for answer in HOSTILE:
        visitor.get(reverse("mfa_login_webauthn"), headers={"accept": "application/json"})
        page = visitor.post(reverse("mfa_login_webauthn"), {"credential": answer})
        assert (page.status_code, page.url) == (302, reverse("account_login")), answer
        browser.get(reverse("mfa_add_webauthn"))
        page = browser.post(reverse("mfa_add_webauthn"), {"name": "x", "credential": answer})
        assert page.status_code == 200, answer
    assert not Authenticator.objects.filter(user=confirmed).exists()
    assert "was not accepted" in visitor.get(reverse("account_login")).content.decode()


def test_the_number_of_passkeys_is_limited(confirmed: User) -> None:
    rows = [Authenticator(user=confirmed, type="webauthn", data={"name": "x"}) for _ in range(passkeys.MOST)]
    Authenticator.objects.bulk_create(rows)
    with pytest.raises(passkeys.ValidationError):
        passkeys.require_few(confirmed)


@pytest.mark.parametrize(
    ("site", "page", "expected"),
    [
        ("https://credits.example.org", "www.credits.example.org", "credits.example.org"),
        ("http://127.0.0.1:8000", "localhost:8000", "localhost"),
        ("http://127.0.0.1:8000", "127.0.0.1:8000", ""),
        ("http://[::1]:8000", "[::1]:8000", ""),
    ],
)
def test_a_passkey_belongs_to_the_host_of_the_site(rf, settings, site: str, page: str, expected: str) -> None:
    settings.SITE_URL, settings.ALLOWED_HOSTS = site, ["*"]
    assert passkeys.host_of(rf.get("/", headers={"host": page})) == expected


def test_without_a_host_name_no_passkey_is_offered(confirmed: User, settings) -> None:
    settings.SITE_URL, settings.ALLOWED_HOSTS = "http://127.0.0.1:8000", ["*"]
    browser = Client(headers={"host": "127.0.0.1:8000"})
    assert "passkey" not in browser.get(reverse("account_login")).content.decode()
    sign_in(browser, confirmed)
    page = browser.get(reverse("mfa_index")).content.decode()
    assert "such as localhost" in page
    assert reverse("mfa_add_webauthn") not in page


def test_staff_with_a_passkey_confirm_with_it_before_they_open_the_admin(staff: User, settings) -> None:
    settings.STAFF_MFA_REQUIRED = True
    browser = Client()
    EmailAddress.objects.create(user=staff, email=staff.email, verified=True, primary=True)
    sign_in(browser, staff)
    Authenticator.objects.create(user=staff, type="webauthn", data={"name": "x"})
    response = browser.get("/admin/login/?next=/admin/")
    assert response.url.startswith(reverse("mfa_reauthenticate_webauthn"))


def test_who_has_no_password_confirms_with_the_passkey_first(confirmed: User, signed_in) -> None:
    confirmed.set_unusable_password()
    confirmed.save()
    for kind, data in (("webauthn", {"name": "x"}), ("recovery_codes", {"seed": "x"})):
        Authenticator.objects.create(user=confirmed, type=kind, data=data)
    response = signed_in(confirmed).get(reverse("mfa_generate_recovery_codes"))
    assert response.url.startswith(reverse("mfa_reauthenticate_webauthn"))
