"""Sign-up: address, password and code create a user with a personal account."""

from contextlib import ExitStack
from unittest import mock

import pytest
from allauth.account.models import EmailAddress
from django.core import mail
from django.db import IntegrityError
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts import adapter, registration
from accounts.models import Account, User
from tests.accounts.mailbox import code_sent_to, subjects_to
from tests.conftest import PASSWORD as FIXTURE_PASSWORD

PASSWORD = "a long enough passphrase"
CONFIRM = "/accounts/confirm-email/"


@pytest.fixture
def visitor(catalogue):
    return Client()


def sign_up(browser, address, **more):
    return browser.post(
        reverse("account_signup"), {"email": address, "password1": PASSWORD} | more, follow=False
    )


def test_signing_up_asks_for_the_code_and_then_opens_the_dashboard(visitor):
    response = sign_up(visitor, "dora@example.org")
    assert response.status_code == 302
    assert response.url == CONFIRM

    response = visitor.post(CONFIRM, {"code": code_sent_to("dora@example.org")})
    assert response.url == "/"
    assert visitor.session["_auth_user_id"] == str(User.objects.get(email="dora@example.org").pk)
    assert EmailAddress.objects.get(email="dora@example.org").verified


def test_a_new_user_is_not_signed_in_before_the_code(visitor):
    sign_up(visitor, "dora@example.org")
    assert visitor.get(reverse("settings")).status_code == 302


def test_a_wrong_code_is_refused_with_the_next_step(visitor):
    sign_up(visitor, "dora@example.org")
    code = code_sent_to("dora@example.org")
    wrong = "000000" if code != "000000" else "111111"
    page = visitor.post(CONFIRM, {"code": wrong})
    assert page.status_code == 200
    assert "request a new code" in page.content.decode()


def test_three_wrong_codes_end_the_attempt(visitor):
    sign_up(visitor, "dora@example.org")
    code = code_sent_to("dora@example.org")
    wrong = "000000" if code != "000000" else "111111"
    for _ in range(3):
        visitor.post(CONFIRM, {"code": wrong})
    visitor.post(CONFIRM, {"code": code})
    assert "_auth_user_id" not in visitor.session


@pytest.mark.requirement("REFLY-18")
def test_every_new_user_has_a_personal_account_immediately(visitor):
    sign_up(visitor, "dora@example.org")
    user = User.objects.get(email="dora@example.org")
    account = Account.objects.get(person=user)
    assert account.kind == "personal"
    assert account.memberships.get().user == user
    assert account.memberships.get().role == "owner"


def test_an_address_in_mixed_case_is_one_address(visitor):
    sign_up(visitor, "Dora.Smith@Example.ORG")
    user = User.objects.get()
    assert user.email == "dora.smith@example.org"
    visitor.post(CONFIRM, {"code": code_sent_to("dora.smith@example.org")})
    visitor.post(reverse("account_logout"))

    visitor.post(reverse("account_login"), {"login": "DORA.smith@example.org", "password": PASSWORD})
    assert visitor.session["_auth_user_id"] == str(user.pk)


def test_no_user_is_created_when_the_account_cannot_be_created(visitor):
    visitor.raise_request_exception = False
    with mock.patch.object(registration, "open_personal_account", side_effect=RuntimeError):
        assert sign_up(visitor, "dora@example.org").status_code == 500
    assert not User.objects.exists()


def test_when_billing_fails_the_code_stays_valid(visitor):
    sign_up(visitor, "dora@example.org")
    visitor.raise_request_exception = False
    with mock.patch.object(registration, "confirm_address", side_effect=RuntimeError):
        assert visitor.post(CONFIRM, {"code": code_sent_to("dora@example.org")}).status_code == 500
    assert not EmailAddress.objects.get().verified
    assert visitor.post(CONFIRM, {"code": code_sent_to("dora@example.org")}).url == "/"
    assert EmailAddress.objects.get().verified


def test_signing_in_repeats_a_confirmation_that_failed(alice):
    EmailAddress.objects.create(user=alice, email=alice.email, verified=True, primary=True)
    with mock.patch.object(registration, "confirm_address") as confirm_address:
        Client().post(reverse("account_login"), {"login": alice.email, "password": FIXTURE_PASSWORD})
    assert [call.args[:2] for call in confirm_address.call_args_list] == [(alice, alice.email)]


def test_a_short_password_is_refused_with_a_message(visitor):
    page = sign_up(visitor, "dora@example.org", password1="short")
    assert page.status_code == 200
    assert "at least 10 characters" in page.content.decode()
    assert not User.objects.exists()


@pytest.mark.fault("W5")
def test_signing_up_with_a_known_address_looks_the_same(alice):
    registered, unregistered = Client(), Client()
    responses = [sign_up(registered, alice.email), sign_up(unregistered, "dora@example.org")]
    assert {(response.status_code, response.url) for response in responses} == {(302, CONFIRM)}
    pages = [
        browser.get(CONFIRM).content.decode().replace(address, "ADDRESS")
        for browser, address in ((registered, alice.email), (unregistered, "dora@example.org"))
    ]
    assert without_tokens(pages[0]) == without_tokens(pages[1])


@pytest.mark.fault("W5")
def test_only_the_owner_of_a_known_address_is_informed_by_e_mail(alice):
    sign_up(Client(), alice.email)
    assert subjects_to(alice.email) == ["You already have an account"]
    assert User.objects.filter(email=alice.email).count() == 1


@pytest.mark.fault("W5")
def test_a_known_address_takes_a_password_hash_as_well(alice):
    with mock.patch("accounts.sign_in_forms.make_password") as hashing:
        sign_up(Client(), alice.email)
    hashing.assert_called_once()


@pytest.mark.fault("W5")
def test_two_concurrent_sign_ups_of_one_address_get_the_same_response(visitor):
    """The other sign-up commits between the query for the address and the insert."""
    new_user = adapter.AccountAdapter.new_user

    def after_the_other(self, request):
        other = User.objects.create_user("dora@example.org", PASSWORD)
        registration.open_personal_account(other, timezone.now())
        return new_user(self, request)

    with mock.patch.object(adapter.AccountAdapter, "new_user", after_the_other):
        response = sign_up(visitor, "dora@example.org")
    assert (response.status_code, response.url) == (302, CONFIRM)
    assert User.objects.count() == 1
    assert Account.objects.count() == 1


@pytest.mark.fault("C8")
def test_the_page_reports_an_e_mail_that_could_not_be_sent(visitor):
    with mock.patch("django.core.mail.EmailMultiAlternatives.send", side_effect=ConnectionRefusedError):
        sign_up(visitor, "dora@example.org")
    assert "The e-mail could not be sent" in visitor.get(CONFIRM).content.decode()


@pytest.mark.fault("C8")
def test_a_mail_server_that_does_not_answer_occupies_few_threads(visitor, monkeypatch):
    monkeypatch.setattr(adapter, "PLACE_SECONDS", 0.01)
    with ExitStack() as waiting:
        for _thread in range(adapter.MOST_SENDING):
            waiting.enter_context(adapter.sending_place())
        sign_up(visitor, "dora@example.org")
        assert "The e-mail could not be sent" in visitor.get(CONFIRM).content.decode()
        assert not mail.outbox
    for number in range(adapter.MOST_SENDING + 1):  # each gives its place back
        sign_up(Client(), f"emil{number}@example.org")
    assert len(mail.outbox) == adapter.MOST_SENDING + 1


def test_sign_ups_from_one_address_are_limited(visitor):
    statuses = [sign_up(visitor, f"dora{number}@example.org").status_code for number in range(21)]
    assert statuses[:20] == [302] * 20
    assert statuses[20] == 429


@pytest.mark.fault("I5")
def test_a_forged_forwarding_header_does_not_extend_the_limit(visitor):
    statuses = [
        visitor.post(
            reverse("account_signup"),
            {"email": f"dora{number}@example.org", "password1": PASSWORD},
            headers={"x-forwarded-for": f"10.0.0.{number}"},
        ).status_code
        for number in range(21)
    ]
    assert statuses[20] == 429


def test_the_e_mail_contains_the_products_name_and_no_default_text(visitor):
    sign_up(visitor, "dora@example.org")
    message = mail.outbox[-1]
    assert "Refly" in message.body
    assert "http://127.0.0.1" in message.body
    assert "Hello from" not in message.body


def without_tokens(page):
    import re

    return re.sub(r'(csrfmiddlewaretoken" value="|X-CSRFToken": ")[^"]+', "TOKEN", page)


def test_another_conflict_than_that_of_the_address_is_no_sign_up(visitor):
    visitor.raise_request_exception = False
    with mock.patch.object(registration, "open_personal_account", side_effect=IntegrityError):
        assert sign_up(visitor, "dora@example.org").status_code == 500
    assert not User.objects.exists()


@pytest.mark.parametrize(
    ("sent", "zone"),
    [
        ({"zone": "Asia/Shanghai"}, "Asia/Shanghai"),
        ({"zone": "Mars/Phobos"}, "UTC"),
        ({"zone": ""}, "UTC"),
        ({}, "UTC"),
    ],
)
def test_a_new_account_has_the_time_zone_of_the_browser(visitor, sent, zone):
    assert "data-zone" in visitor.get(reverse("account_signup")).content.decode()
    sign_up(visitor, "dora@example.org", **sent)
    assert Account.objects.get(person__email="dora@example.org").zone == zone
