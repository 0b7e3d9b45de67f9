"""Automatic top-up buys once and stays within its limits."""

import contextlib
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import Account, User
from billing import selectors, stripe_gateway
from billing.models import AutoTopUp, Purchase
from billing.purchases import auto_top_up, top_up_settings
from tests.billing import stripe_sandbox
from tests.billing.conftest import smallest_pack
from tests.billing.purchases.conftest import bought
from tests.billing.stripe_sandbox import SITE
from tests.sandbox.conftest import Buyer

pytestmark = pytest.mark.django_db


@pytest.mark.requirement("APIN-08")
def test_it_buys_the_pack_with_the_saved_card_when_credits_run_low(
    enable: Callable[..., AutoTopUp], account: Account, balance: Callable[[], Decimal]
) -> None:
    before = balance()
    enable()

    assert auto_top_up.buy_if_low(account.pk, timezone.now()) == AutoTopUp.Outcome.PAID

    purchase = Purchase.objects.get()
    assert (purchase.status, purchase.origin) == ("paid", "auto_top_up")
    assert balance() == before + purchase.credits


def test_nothing_is_bought_above_the_threshold_or_when_disabled(
    enable: Callable[..., AutoTopUp], account: Account
) -> None:
    settings = enable(below=Decimal(1))
    assert auto_top_up.buy_if_low(account.pk, timezone.now()) == ""
    AutoTopUp.objects.filter(pk=settings.pk).update(enabled=False, below=500)
    assert auto_top_up.buy_if_low(account.pk, timezone.now()) == ""
    assert not Purchase.objects.exists()


@pytest.mark.fault("P16")
def test_it_pauses_after_a_payment_and_keeps_both_monthly_limits(
    noon: None, enable: Callable[..., AutoTopUp], account: Account, later: Callable[..., Any]
) -> None:
    enable(below=Decimal(10**6), monthly_count=2)
    assert auto_top_up.buy_if_low(account.pk, timezone.now()) == "paid"
    assert auto_top_up.buy_if_low(account.pk, timezone.now()) == "cooling"
    assert auto_top_up.buy_if_low(account.pk, later(minutes=1)) == "paid"
    assert auto_top_up.buy_if_low(account.pk, later(minutes=2)) == "ceiling_count"

    price = Purchase.objects.all()[0].amount
    AutoTopUp.objects.update(monthly_count=9, monthly_amount=price * 3 - 1)
    assert auto_top_up.buy_if_low(account.pk, later(minutes=3)) == "ceiling_money"
    assert bought() == 2


@pytest.mark.fault("P17")
def test_a_payment_whose_response_was_lost_is_retried_with_the_same_key(
    enable: Callable[..., AutoTopUp],
    account: Account,
    later: Callable[..., Any],
    lose_responses: Callable[..., Any],
    stripe_api: Any,
) -> None:
    enable()
    with lose_responses():
        assert auto_top_up.buy_if_low(account.pk, timezone.now()) == "unreachable"
    assert auto_top_up.buy_if_low(account.pk, timezone.now() + timedelta(seconds=5)) == "pending"
    assert auto_top_up.buy_if_low(account.pk, later(minutes=2)) == "paid"

    assert len(stripe_api.payment_intents.list({}).data) == 1
    assert Purchase.objects.get().status == "paid"


def test_a_card_is_saved_on_stripes_page_and_shown_at_once(
    stripe_api: Any, account: Account, alice: User, charlie: User, signed_in: Callable[[User], Client]
) -> None:
    browser = signed_in(alice)
    response = browser.post("/billing/card/", {"key": str(uuid.uuid4())})
    assert response.status_code == 303
    buyer = Buyer()
    buyer.pay(response["Location"])
    return_url = buyer.redirect.removeprefix(SITE)

    assert "4242" in browser.get(return_url, follow=True).content.decode()
    assert selectors.profile_of(account.pk).card_last4 == "4242"
    signed_in(charlie).get(return_url)  # the session of another account saves nothing
    assert not selectors.profile_of(Account.objects.get(person=charlie).pk).card_id


def test_the_page_suggests_settings_that_can_be_saved(
    enable: Callable[..., AutoTopUp], account: Account, alice: User, signed_in: Callable[[User], Client]
) -> None:
    enable()
    AutoTopUp.objects.all().delete()
    browser = signed_in(alice)
    form = browser.get("/billing/auto-top-up/").context["form"]

    saved = browser.post("/billing/auto-top-up/", {**form.initial, "enabled": "on"})

    assert saved.status_code == 302
    assert AutoTopUp.objects.get().monthly_count == 3


def test_without_a_card_the_outcome_is_no_card(stripe_api: Any, account: Account) -> None:
    AutoTopUp.objects.create(
        account=account, enabled=True, below=500, pack=smallest_pack(), currency="usd", monthly_amount=10**6
    )
    assert auto_top_up.buy_if_low(account.pk, timezone.now()) == "no_card"
    assert AutoTopUp.objects.get().last_outcome == "no_card"


def test_the_scheduled_check_buys_for_accounts_below_their_threshold(
    enable: Callable[..., AutoTopUp], account: Account
) -> None:
    enable()
    assert auto_top_up.buy_for_low_accounts(timezone.now()) == 1
    assert bought() == 1


def test_amounts_of_two_currencies_are_not_added_and_all_top_ups_are_counted(
    enable: Callable[..., AutoTopUp], account: Account, later: Callable[..., Any], noon: None
) -> None:
    enable(below=Decimal(10**6))
    assert auto_top_up.buy_if_low(account.pk, timezone.now()) == "paid"
    price = Purchase.objects.get().amount
    Purchase.objects.update(currency="jpy", amount=price * 100)
    AutoTopUp.objects.update(monthly_amount=price)

    assert top_up_settings.spent_this_month(account.pk, "usd", timezone.now()) == (0, 1)
    assert auto_top_up.buy_if_low(account.pk, later(minutes=1)) == "paid"
    assert auto_top_up.buy_if_low(account.pk, later(minutes=2)) == "ceiling_money"


@pytest.fixture
def lose_responses(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Within the context, the request to charge is sent (unless `charged=False`) and its response is lost."""
    create_payment = stripe_gateway.create_off_session_payment

    @contextlib.contextmanager
    def lose(*, charged: bool = True) -> Iterator[None]:
        def send(**arguments: Any) -> Any:
            if charged:
                create_payment(**arguments)
            raise stripe_gateway.StripeUnavailable("timed out")

        with monkeypatch.context() as patch:
            patch.setattr(stripe_gateway, "create_off_session_payment", send)
            yield

    return lose


@pytest.mark.fault("P17")
@pytest.mark.parametrize("charged", [True, False])
def test_an_attempt_older_than_stripes_keys_is_looked_for_and_not_repeated(
    enable: Callable[..., AutoTopUp],
    account: Account,
    later: Callable[..., Any],
    lose_responses: Callable[..., Any],
    stripe_api: Any,
    charged: bool,
) -> None:
    enable()
    with lose_responses(charged=charged):
        assert auto_top_up.buy_if_low(account.pk, timezone.now()) == "unreachable"

    outcome = auto_top_up.buy_if_low(account.pk, later(hours=25))

    assert len(stripe_api.payment_intents.list({}).data) == charged
    expected = ("paid", "paid") if charged else ("", "cancelled")
    assert (outcome, Purchase.objects.get().status) == expected


@pytest.mark.fault("P17")
def test_a_lost_response_is_retried_with_the_card_of_the_first_attempt(
    enable: Callable[..., AutoTopUp],
    account: Account,
    later: Callable[..., Any],
    lose_responses: Callable[..., Any],
    stripe_api: Any,
) -> None:
    enable()
    with lose_responses():
        auto_top_up.buy_if_low(account.pk, timezone.now())
    stripe_sandbox.save_card(account, "mastercard")

    assert auto_top_up.buy_if_low(account.pk, later(minutes=2)) == "paid"
    assert len(stripe_api.payment_intents.list({}).data) == 1
