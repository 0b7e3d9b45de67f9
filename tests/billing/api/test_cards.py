"""/payment-method over HTTP."""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.test import Client

from accounts.models import Account, User
from billing import stripe_gateway
from billing.models import BillingProfile, Subscription
from billing.payments import cards
from tests.billing import stripe_sandbox

pytestmark = [pytest.mark.django_db, pytest.mark.requirement("CORE-07")]


def test_the_saved_card_is_shown_and_removed(api: Any, account: Account) -> None:
    assert api.get("payment-method").json() == {"card": None, "plan": None}
    stripe_sandbox.save_card(account)
    profile = BillingProfile.objects.get(account=account)
    shown = {"brand": profile.card_brand, "last4": profile.card_last4, "expires": profile.card_expires}
    assert api.get("payment-method").json() == {"card": shown, "plan": None}
    assert api.delete("payment-method").status_code == 204
    assert api.get("payment-method").json() == {"card": None, "plan": None}
    assert api.delete("payment-method").status_code == 204, "nothing is left to remove"


def test_a_card_that_pays_a_plan_stays(api: Any, account: Account, starter: Subscription) -> None:
    cards.synchronize(account.pk, starter.created_at)
    shown = api.get("payment-method").json()
    assert shown["plan"]["last4"] == "4242"
    refused = api.delete("payment-method")
    assert (refused.status_code, refused.json()["code"]) == (409, "card_pays_plan")
    assert api.get("payment-method").json() == shown


def test_a_key_may_be_longer_than_those_of_stripe(api: Any, account: Account) -> None:
    first, again = (api.post("payment-method", {}, key="k" * 255) for _ in range(2))
    assert (first.status_code, again.json()) == (201, first.json())


def test_the_customer_portal_is_that_of_the_page(
    api: Any, account: Account, alice: User, signed_in: Callable[[User], Client]
) -> None:
    made = api.post("customer-portal", {})
    page = signed_in(alice).post("/billing/portal/")
    assert (made.status_code, page.status_code) == (201, 303)
    of_page, of_api = (
        urlsplit(url).path.rpartition("/")[0] for url in (page["Location"], made.json()["url"])
    )
    assert of_page == of_api


@pytest.mark.parametrize(("language", "locale"), [("zh-hans", "zh"), ("", None)])
def test_stripes_pages_are_in_the_language_of_the_users_setting(
    api: Any,
    alice: User,
    signed_in: Callable[[User], Client],
    monkeypatch: pytest.MonkeyPatch,
    language: str,
    locale: str | None,
) -> None:
    User.objects.filter(pk=alice.pk).update(language=language)
    asked: list[Any] = []

    def record(name: str) -> None:
        request = getattr(stripe_gateway, name)

        def send(**given: Any) -> Any:
            asked.append(given.get("params", given).get("locale"))
            return request(**given)

        monkeypatch.setattr(stripe_gateway, name, send)

    record("create_checkout_session")
    record("create_portal_session")
    browser = signed_in(alice)
    form = {"key": "4e3a1f5e-7f9e-4a4c-8f0e-2b1c3d4e5f60"}
    for path in ("/billing/card/", "/billing/portal/"):
        assert browser.post(path, form).status_code == 303
    assert asked == [locale, locale]

    User.objects.filter(pk=alice.pk).update(language="en")
    assert browser.post("/billing/card/", form).status_code == 303, "another language is another request"


def test_a_page_saves_a_card_once_for_each_key(api: Any, account: Account) -> None:
    first, again, other = (api.post("payment-method", {}, key=key) for key in ("k", "k", "k2"))
    assert (first.status_code, first.json(), again["Idempotent-Replayed"]) == (201, again.json(), "true")
    assert first.json()["url"] != other.json()["url"]
    assert api.post("payment-method", {}).status_code == 201, "the key is optional"


def test_cards_that_change_meanwhile_are_an_unknown_outcome(
    api: Any, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    def changed(*_arguments: Any) -> None:
        raise cards.StaleCards

    monkeypatch.setattr(cards, "remove_card", changed)
    api.client.raise_request_exception = False
    assert api.delete("payment-method").json()["code"] == "payment_provider_unreachable"
