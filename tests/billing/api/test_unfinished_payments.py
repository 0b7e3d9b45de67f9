"""Payments that need the buyer: an overdue plan, and a top-up that the bank wants confirmed."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import Account, Membership, User
from billing import stripe_gateway
from billing.models import AutoTopUp, Purchase, Subscription
from billing.purchases import auto_top_up
from billing.subscriptions import overdue
from tests.billing import stripe_sandbox
from tests.billing.conftest import smallest_pack
from tests.billing.stripe_sandbox import SITE
from tests.sandbox.conftest import Buyer

pytestmark = [pytest.mark.django_db, pytest.mark.requirement("CORE-07")]
PAGE = "https://invoice.example.org/i"


def code_of(response: Any) -> tuple[int, str]:
    return response.status_code, response.json()["code"]


def after_bank(url: str, decision: str) -> str:
    """The page to which the bank leads a reader without a session."""
    bank = Buyer()
    bank.open(url)
    bank.submit(url, decision=decision)
    return Client().get(bank.redirect.removeprefix(SITE)).content.decode()


def test_a_forged_link_back_shows_nothing(stripe_api: Any, account: Account) -> None:
    for token in (account.public_id, f"{account.public_id}:forged"):
        assert Client().get(f"/billing/auto-top-up/returned/{token}/").status_code == 404


@pytest.fixture
def to_confirm(api: Any, account: Account) -> AutoTopUp:
    """Automatic top-up whose payment the bank wants confirmed."""
    stripe_sandbox.save_card(account, "authenticationRequired")
    settings = AutoTopUp.objects.create(
        account=account,
        enabled=True,
        below=Decimal(500),
        pack=smallest_pack(),
        currency="usd",
        monthly_amount=100_000,
        monthly_count=3,
    )
    assert api.get("auto-top-up").json()["confirmation_needed"] is False
    assert auto_top_up.buy_if_low(account.pk, timezone.now()) == "authenticate"
    return settings


@pytest.mark.fault("P16")
def test_a_top_up_is_confirmed_on_the_banks_page_and_goes_on(api: Any, to_confirm: AutoTopUp) -> None:
    shown = api.get("auto-top-up").json()
    assert (shown["last_outcome"], shown["confirmation_needed"]) == ("authenticate", True)
    asked = api.post("auto-top-up/confirm", {}, key="k" * 255)
    answer = asked.json()
    assert (asked.status_code, answer["paid"], answer["auto_top_up"]) == (200, False, shown)
    again = api.post("auto-top-up/confirm", {}, key="k" * 255)
    assert (again.json(), again["Idempotent-Replayed"]) == (answer, "true")
    assert "The payment failed" in after_bank(answer["url"], "fail")
    asked_again = api.post("auto-top-up/confirm", {}, key="again").json()
    assert "Payment received" in after_bank(asked_again["url"], "pass"), "without a session"
    settled = api.post("auto-top-up/confirm", {}, key="k2").json()
    assert (settled["paid"], settled["url"]) == (True, None)
    assert settled["auto_top_up"]["confirmation_needed"] is False
    assert Purchase.objects.get(origin="auto_top_up").status == "paid"


def test_without_a_payment_to_confirm_nothing_is_paid(api: Any) -> None:
    answer = api.post("auto-top-up/confirm", {}, key="k").json()
    assert (answer["paid"], answer["url"]) == (False, None)


def test_a_confirmation_that_is_declined_is_a_402(
    api: Any, to_confirm: AutoTopUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    def declined(**_asked: Any) -> Any:
        raise stripe_gateway.CardDeclined("lost_card", "Your card was declined.")

    monkeypatch.setattr(stripe_gateway, "confirm_payment", declined)
    refused = api.post("auto-top-up/confirm", {}, key="k")
    assert code_of(refused) == (402, "payment_declined")
    assert refused.json()["decline_code"] == "lost_card"


def test_an_overdue_plan_is_paid_with_its_card(
    api: Any, starter: Subscription, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing_due = api.post("subscription/pay", {}, key="k0").json()
    assert (nothing_due["paid"], nothing_due["url"]) == (False, None)
    assert nothing_due["subscription"] == api.get("subscription").json()
    paid = []
    monkeypatch.setattr(overdue, "pay", lambda account_id, now: paid.append(account_id) or True)
    first, again = (api.post("subscription/pay", {}, key="k1") for _ in range(2))
    assert first.json()["paid"] is True
    assert (again.json(), again["Idempotent-Replayed"]) == (first.json(), "true")
    assert paid == [starter.account_id], "a repeated request charges once"


@pytest.mark.parametrize("page", [PAGE, ""])
def test_a_payment_that_the_bank_wants_confirmed_has_the_page_of_its_invoice(
    api: Any, starter: Subscription, monkeypatch: pytest.MonkeyPatch, page: str
) -> None:
    def authenticate(*_arguments: Any) -> Any:
        raise stripe_gateway.AuthenticationRequired("authentication_required", "Confirm it.")

    monkeypatch.setattr(overdue, "pay", authenticate)
    Subscription.objects.update(recovery_url=page)
    answer = api.post("subscription/pay", {}, key="k")
    if page:
        assert (answer.status_code, answer.json()["paid"], answer.json()["url"]) == (200, False, page)
    else:
        assert code_of(answer) == (402, "payment_declined")


def test_an_account_without_a_plan_has_nothing_to_pay(platform_api: Any) -> None:
    opened = platform_api.post("accounts", {"external_id": "user-1"}).json()["id"]
    Subscription.objects.filter(account_id=Account.uuid_of(opened)).delete()
    assert code_of(platform_api.post("subscription/pay", {"account": opened}, key="k")) == (404, "not_found")


@pytest.mark.fault("Z4", "Z5")
@pytest.mark.parametrize("path", ["subscription/pay", "auto-top-up/confirm", "customer-portal"])
def test_only_who_may_buy_may_pay(
    stripe_api: Any, team: Account, bob: User, charlie: User, api_of: Callable[..., Any], path: str
) -> None:
    assert code_of(api_of(bob, account=team).post(path, {}, key="k")) == (403, "missing_scope")
    other = api_of(charlie).post(path, {"account": team.public_id}, key="k")
    assert code_of(other) == (404, "unknown_account")
    Membership.objects.filter(account=team, user=bob).update(role="billing")
    allowed = api_of(bob, account=team).post(path, {}, key="k2")
    assert allowed.status_code < 300, allowed.content
