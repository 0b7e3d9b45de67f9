"""The forecast page: how long the credits last, with its range, and what changes the balance."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import Account, User
from billing.models import Allowance, AutoTopUp, BillingProfile, Subscription
from billing.notifications import monthly_budgets
from tests.usage.forecast.test_pace import announce
from tests.usage.spending import give, spend

AccountOf = Callable[[User], Account]
SignedIn = Callable[[User], Client]
DAY = timedelta(days=1)


def text_of(client: Client) -> str:
    response = client.get("/usage/forecast/")
    assert response.status_code == 200
    return " ".join(response.content.decode().split())


@pytest.fixture
def account(clock: object, alice: User, account_of: AccountOf) -> Account:
    """Without daily credits; 10 a day were spent on each of the last twenty days."""
    account, now = account_of(alice), timezone.now()
    Allowance.objects.filter(account=account).delete()
    give(account, "200", now - 19 * DAY)
    for days in range(20):
        spend(account, "10", now - days * DAY)
    return account


def test_it_states_when_the_credits_end_and_what_expires_unused(
    account: Account, alice: User, signed_in: SignedIn
) -> None:
    now = timezone.now()
    give(account, "150", now)
    give(account, "1000", now, kind="bonus", label="Welcome", expires_at=now + 5 * DAY)
    page = text_of(signed_in(alice))
    # the 100 of today, given at sign-up, come first: 1,000 of the bonus less five days of 10
    assert "will expire unused" in page and "Welcome: unused credits expire" in page
    assert "No credits left" in page
    assert "in your busiest week" in page
    assert '<polyline class="chart-projection"' in page and '<polygon class="chart-range"' in page


def test_automatic_top_up_is_part_of_the_course(account: Account, alice: User, signed_in: SignedIn) -> None:
    give(account, "150", timezone.now())
    BillingProfile.objects.update_or_create(account=account, defaults={"card_id": "pm_1"})
    AutoTopUp.objects.create(
        account=account,
        enabled=True,
        below=Decimal(100),
        pack="small",
        currency="usd",
        monthly_amount=100_000,
        monthly_count=10,
    )
    assert "Automatic top-up: Small" in text_of(signed_in(alice))


def test_the_dashboard_says_how_long_the_credits_last_as_the_forecast_does(
    account: Account, alice: User, signed_in: SignedIn
) -> None:
    give(account, "240", timezone.now())

    def dashboard() -> str:
        return " ".join(signed_in(alice).get("/").content.decode().split())

    assert "last about 34 days" in dashboard()  # the 100 of sign-up and these 240
    announce(timezone.now(), 10 * DAY, claude_sonnet_4="2")
    spent = dashboard()
    assert "last about 34 days" in spent, "these calls state their credits, not their usage"
    BillingProfile.objects.update_or_create(account=account, defaults={"card_id": "pm_1"})
    AutoTopUp.objects.create(
        account=account, enabled=True, below=Decimal(100), pack="small", currency="usd",
        monthly_amount=100_000, monthly_count=10,
    )  # fmt: skip
    shown = dashboard()
    assert "last more than a year. Automatic top-ups are included." in shown
    assert "Not within 60 days" in text_of(signed_in(alice))


def test_it_says_that_a_budget_which_refuses_calls_is_not_part_of_it(
    account: Account, alice: User, signed_in: SignedIn
) -> None:
    sentence = "Calls that your monthly budget refuses are not taken out of the forecast."
    for pauses in (False, True):
        monthly_budgets.save(account.pk, credits=Decimal(500), pauses=pauses, now=timezone.now())
        assert (sentence in text_of(signed_in(alice))) == pauses


def test_a_scheduled_change_of_plan_is_part_of_it(account: Account, alice: User, signed_in: SignedIn) -> None:
    give(account, "150", timezone.now())
    end = timezone.now() + 3 * DAY
    Subscription.objects.filter(account=account).update(
        plan="creator", interval="month", stripe_subscription_id="sub_1", next_plan="starter",
        period_end=end, paid_until=end,
    )  # fmt: skip
    page = text_of(signed_in(alice))
    assert "Plan Starter begins" in page
    assert "Not within 60 days" in page, "it brings 200 a day"


def test_an_account_without_use_is_told_how_to_begin(
    alice: User, account_of: AccountOf, signed_in: SignedIn
) -> None:
    account_of(alice)
    assert "No usage in the last 30 days" in text_of(signed_in(alice))


def test_a_stranger_sees_own_figures_only(
    account: Account, charlie: User, account_of: AccountOf, signed_in: SignedIn
) -> None:
    account_of(charlie)
    assert "No usage in the last 30 days" in text_of(signed_in(charlie))


def test_the_dashboard_and_the_usage_page_link_to_it(
    account: Account, alice: User, signed_in: SignedIn
) -> None:
    give(account, "150", timezone.now())
    for path in ("/", "/usage/"):
        assert 'href="/usage/forecast/"' in signed_in(alice).get(path).content.decode(), path
