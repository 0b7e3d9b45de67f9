"""Guesses of codes are limited, for each account or e-mail address and for each client's address."""

from typing import Any
from uuid import uuid4

import pytest
from allauth.account.models import EmailAddress
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts import guesses
from accounts.models import User
from core.rate_limit import Rate
from tests.accounts.mailbox import code_sent_to

REQUEST, CONFIRM = "account_request_login_code", "account_confirm_login_code"
CLIENTS_OWN = {"REMOTE_ADDR": "192.0.2.7"}


@pytest.fixture
def confirmed(alice: User) -> User:
    EmailAddress.objects.create(user=alice, email=alice.email, verified=True, primary=True)
    return alice


def enter_code(address: str, code: str = "") -> Any:
    """Request a code in a new session and enter it, or the given one."""
    browser = Client()
    browser.post(reverse(REQUEST), {"email": address})
    return browser.post(reverse(CONFIRM), {"code": code or code_sent_to(address)})


@pytest.mark.fault("I5")
def test_codes_entered_by_one_client_are_limited_over_its_sessions(
    confirmed: User, monkeypatch: pytest.MonkeyPatch, clock: Any
) -> None:
    monkeypatch.setattr(guesses, "FROM_CLIENT", Rate(2, 3600))
    assert [enter_code(confirmed.email, "000000").status_code for _ in range(2)] == [200, 200]
    refused = enter_code(confirmed.email)
    assert (refused.status_code, refused["Retry-After"]) == (429, "3600")
    assert "Wait 60 minutes" in refused.content.decode()
    clock.shift(3600)
    assert enter_code(confirmed.email).status_code == 302


@pytest.mark.fault("I5")
@pytest.mark.parametrize("page", [REQUEST, "account_reset_password"])
def test_codes_sent_to_one_address_are_limited_whether_it_is_registered_or_not(
    confirmed: User, monkeypatch: pytest.MonkeyPatch, page: str, clock: Any
) -> None:
    monkeypatch.setattr(guesses, "OF_EMAIL", Rate(2, 3600))
    for address in (confirmed.email, "nobody@example.org"):
        spellings = (address, address.upper(), address.title())
        responses = [Client().post(reverse(page), {"email": spelling}) for spelling in spellings]
        assert [response.status_code for response in responses] == [302, 302, 429], address
        assert responses[2]["Retry-After"] == "3600"
    assert Client().post(reverse(page), {"email": "other@example.org"}).status_code == 302


@pytest.mark.fault("I5")
@pytest.mark.parametrize(
    ("path", "body"),
    [("redemptions", {"code": "NO-SUCH"}), ("checkouts", {"pack": "no-such", "code": "NO-SUCH"})],
)
def test_promotion_codes_of_one_account_are_limited_in_the_api(
    platform_api: Any, alice: User, bob: User, api_of: Any, account_of: Any, path: str, body: dict[str, str]
) -> None:
    api, named = api_of(alice), body | {"account": account_of(alice).public_id}
    statuses = {api.post(path, body, key=f"k{number}").status_code for number in range(20)}
    assert statuses == {404}
    for caller, sent in ((api, body), (platform_api, named)):
        refused = caller.post(path, sent, key="other")
        assert (refused.status_code, refused.json()["code"]) == (429, "too_many_attempts")
        assert 0 < int(refused["Retry-After"]) <= 3600
    assert api_of(bob).post(path, body, key="k").status_code == 404


@pytest.mark.fault("I5")
def test_promotion_codes_on_pages_are_limited(
    alice: User, signed_in: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guesses, "OF_ACCOUNT", Rate(2, 3600))
    browser = signed_in(alice)
    order = {
        "pack": "small",
        "currency": "usd",
        "quantity": "1",
        "key": "6d5c2a43-8a0b-4d5c-9d0e-0f6f5e8f8a11",
    }
    assert browser.post("/billing/redeem/", {"code": "NO-SUCH"}).status_code == 422
    browser.post("/billing/purchases/new/", order | {"code": "NO-SUCH"})
    for path, form in (("/billing/redeem/", {}), ("/billing/purchases/new/", order)):
        refused = browser.post(path, form | {"code": "NO-SUCH"})
        assert refused.status_code == 429 and "Too many attempts" in refused.content.decode()
    assert browser.post("/billing/purchases/new/", order).status_code != 429, "an order without a code"


@pytest.mark.fault("I5")
def test_promotion_codes_of_one_client_are_limited_over_its_accounts_but_not_those_of_a_platform_key(
    platform_api: Any, alice: User, bob: User, api_of: Any, account_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guesses, "FROM_CLIENT", Rate(2, 3600))
    body = {"code": "NO-SUCH"}
    assert [api_of(user).post("redemptions", body, key="k").status_code for user in (alice, bob)] == [
        404,
        404,
    ]
    assert api_of(alice).post("redemptions", body, key="k2").status_code == 429
    elsewhere = api_of(alice)
    elsewhere.client.defaults |= CLIENTS_OWN
    assert elsewhere.post("redemptions", body, key="k3").status_code == 404
    named = body | {"account": account_of(bob).public_id}
    statuses = [platform_api.post("redemptions", named, key=f"p{number}").status_code for number in range(3)]
    assert statuses == [404, 404, 404]


def test_an_ipv6_client_has_one_network_of_addresses() -> None:
    def client(address: str) -> str:
        return guesses.client_of(Client().get("/healthz", REMOTE_ADDR=address).wsgi_request)

    assert client("2001:db8:1:2:a::1") == client("2001:db8:1:2:b::2") != client("2001:db8:1:3::1")
    assert client("192.0.2.7") == "192.0.2.7" != client("192.0.2.8")


@pytest.mark.fault("I5")
def test_sign_ups_with_a_registered_address_are_counted_as_its_codes(
    confirmed: User, monkeypatch: pytest.MonkeyPatch, clock: Any
) -> None:
    monkeypatch.setattr(guesses, "OF_EMAIL", Rate(2, 3600))
    form, statuses = {"email": confirmed.email, "password1": "a-Good-password-1"}, []
    for _ in range(3):
        statuses.append(Client().post(reverse("account_signup"), form).status_code)
        clock.shift(300)  # allauth sends an address one such e-mail in three minutes
    assert statuses == [302, 302, 429]


@pytest.mark.fault("I5")
def test_a_clients_promotion_codes_and_codes_by_e_mail_are_counted_apart(
    monkeypatch: pytest.MonkeyPatch, db: None
) -> None:
    monkeypatch.setattr(guesses, "FROM_CLIENT", Rate(1, 3600))
    now = timezone.now()
    guesses.count_promotion_code(account_id=uuid4(), client="192.0.2.7", now=now)
    guesses.count_emailed_code(client="192.0.2.7", now=now)
    with pytest.raises(guesses.TooManyGuesses):
        guesses.count_promotion_code(account_id=uuid4(), client="192.0.2.7", now=now)
    with pytest.raises(guesses.TooManyGuesses):
        guesses.count_emailed_code(client="192.0.2.7", now=now)
