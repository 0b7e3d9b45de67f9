"""The pages of plans."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import Account, User
from billing.models import BillingProfile, Subscription
from billing.subscriptions import lifecycle
from billing.validity import add_months
from tests.billing.subscriptions.conftest import change_plan

pytestmark = pytest.mark.django_db


@pytest.mark.requirement("REFLY-09")
def test_leaving_a_legacy_plan_on_the_page_requires_a_confirmation(
    stripe_api: Any, account: Account, alice: User, signed_in: Callable[[User], Client]
) -> None:
    lifecycle.assign_plan(account=account, plan_key="plus", actor="staff", now=timezone.now())
    browser = signed_in(alice)
    page = browser.get("/plans/free-trial/")
    assert "can't return to it" in page.content.decode()
    form = {"token": page.context["preview"].token}

    browser.post("/plans/free-trial/", form)
    assert Subscription.objects.get(account=account).plan == "plus"
    browser.post("/plans/free-trial/", form | {"understood": "on"})
    assert Subscription.objects.get(account=account).plan == "free-trial"


def test_the_history_of_plans_is_that_of_the_account(
    stripe_api: Any,
    account: Account,
    alice: User,
    bob: User,
    account_of: Callable[[User], Account],
    signed_in: Callable[[User], Client],
) -> None:
    for one in (account, account_of(bob)):
        lifecycle.assign_plan(account=one, plan_key="plus", actor="staff", now=timezone.now())
    history = signed_in(alice).get("/billing/subscription/").context["history"]
    assert {change.account_id for change in history} == {account.pk}


@pytest.mark.requirement("REFLY-09")
def test_the_plans_page_shows_a_legacy_plan_only_to_an_account_on_it(
    catalogue: None, account: Account, alice: User, signed_in: Callable[[User], Client]
) -> None:
    def shown() -> set[str]:
        return {column["plan"].key for column in signed_in(alice).get("/plans/").context["plans"]}

    assert "starter" in shown() and "pro" not in shown()
    lifecycle.assign_plan(account=account, plan_key="pro", actor="staff", now=timezone.now())
    assert "pro" in shown() and "max" not in shown()


@pytest.fixture
def overdue(subscribe: Callable[..., Subscription], account: Account) -> Subscription:
    """A plan with a saved card whose renewal failed."""
    current = subscribe("starter")
    current.state = Subscription.State.PAST_DUE
    current.save()
    card = {"plan_card_id": "pm_1", "plan_card_brand": "visa", "plan_card_last4": "4242"}
    BillingProfile.objects.filter(account=account).update(**card)
    return current


def page(signed_in: Callable[[User], Client], user: User, path: str) -> str:
    response = signed_in(user).get(path)
    assert response.status_code == 200
    return " ".join(response.content.decode().split())


@pytest.mark.parametrize("path", ["/plans/", "/billing/subscription/", "/billing/"])
def test_an_overdue_plan_can_be_paid_from_each_page_that_says_so(
    overdue: Subscription, alice: User, signed_in: Callable[[User], Client], path: str
) -> None:
    assert "Pay now with Visa" in page(signed_in, alice, path)


@pytest.mark.parametrize("path", ["/billing/subscription/", "/billing/"])
def test_an_overdue_plan_shows_until_when_it_is_paid_and_no_renewal(
    overdue: Subscription, alice: User, signed_in: Callable[[User], Client], path: str
) -> None:
    text = page(signed_in, alice, path)
    assert "Paid until" in text and "Renews" not in text


def test_the_plans_page_shows_the_prices_of_the_currency_and_interval_that_the_account_pays(
    subscribe: Callable[..., Subscription], alice: User, signed_in: Callable[[User], Client]
) -> None:
    Subscription.objects.filter(pk=subscribe("starter").pk).update(currency="eur", interval="year")

    text = page(signed_in, alice, "/plans/")

    assert "€199.00" in text and "$" not in text


@pytest.mark.parametrize("next_plan", ["starter", "free-trial"])
def test_a_scheduled_change_is_shown_on_every_page_and_not_offered_again(
    subscribe: Callable[..., Subscription],
    account: Account,
    alice: User,
    signed_in: Callable[[User], Client],
    next_plan: str,
) -> None:
    subscribe("creator")
    change_plan(account, next_plan)

    plans = page(signed_in, alice, "/plans/")

    assert f'href="/plans/{next_plan}/' not in plans and "View change" in plans
    overview = page(signed_in, alice, "/billing/")
    assert "Ends" in overview and "Renews" not in overview
    assert ("then Starter" in overview) == (next_plan == "starter")
    subscription = page(signed_in, alice, "/billing/subscription/")
    assert "<dt>Ends</dt>" in subscription and "<dt>Renews</dt>" not in subscription
    if next_plan == "starter":
        assert "Starter · $9.90 per month" in subscription
        assert "<dt>Daily refresh</dt><dd>500 credits" in subscription
        assert "<dt>Daily refresh (Starter)</dt><dd>200 credits" in subscription


def test_the_plan_page_says_how_many_credits_are_for_selected_services_only(
    subscribe: Callable[..., Subscription], alice: User, signed_in: Callable[[User], Client]
) -> None:
    subscribe("starter")
    assert "1,000 more credits are for selected services only." in page(
        signed_in, alice, "/billing/subscription/"
    )


def test_the_preview_of_a_first_plan_shows_the_credits_of_the_plan(
    stripe_api: Any, alice: User, signed_in: Callable[[User], Client]
) -> None:
    text = page(signed_in, alice, "/plans/starter/")
    assert "Credits of the plan" in text and "Monthly bonus" in text


def test_a_plan_whose_renewal_is_awaited_on_a_clock_ahead_of_ours_says_so_and_is_not_changed(
    subscribe: Callable[..., Subscription], alice: User, signed_in: Callable[[User], Client]
) -> None:
    current = subscribe("starter")
    Subscription.objects.filter(pk=current.pk).update(
        period_start=current.paid_until, period_end=add_months(current.period_start, 2)
    )

    assert "A new period of your plan began" in page(signed_in, alice, "/billing/subscription/")
    assert signed_in(alice).get("/plans/creator/").status_code == 302
