"""The dashboard: balance, grants, usage, and the next steps."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import Account, User
from billing import ledger
from billing.models import Allowance, Subscription
from billing.subscriptions import plan_terms
from pricing.models import Service
from tests.usage.spending import give, spend

AccountOf = Callable[[User], Account]
SignedIn = Callable[[User], Client]


def text_of(client: Client, path: str = "/") -> str:
    response = client.get(path)
    assert response.status_code == 200, response
    return " ".join(response.content.decode().split())


@pytest.mark.requirement("REFLY-12")
def test_it_shows_the_balance_and_todays_refresh(
    clock: object, alice: User, account_of: AccountOf, signed_in: SignedIn
) -> None:
    account = account_of(alice)
    give(account, "712.5", timezone.now())
    spend(account, "37.5", timezone.now())
    page = text_of(signed_in(alice))
    assert '<p class="balance-figure" title="775">775</p>' in page
    assert '<span class="stat-figure" title="62.5">62.5</span>' in page
    assert "of 100 left today" in page
    assert "in 12 h" in page  # noon in UTC, the reset at midnight


@pytest.mark.requirement("RECR-07", "FLICK-05")
def test_the_counter_is_in_the_header_of_every_signed_in_page(
    alice: User, account_of: AccountOf, signed_in: SignedIn
) -> None:
    give(account_of(alice), "1234", timezone.now())
    for path in ("/", "/usage/", "/history/", "/history/statement/", "/documentation/", "/faq/", "/support/"):
        page = text_of(signed_in(alice), path)
        header = page[page.index("<header") : page.index("</header>")]
        assert 'id="credit-counter"' in header, path
        assert "1,334" in header, path


def test_grants_are_listed_in_spending_order(alice: User, account_of: AccountOf, signed_in: SignedIn) -> None:
    account, now = account_of(alice), timezone.now()
    give(account, "10", now, label="Pack of mine")
    give(account, "20", now, kind="promotion", label="Launch week", expires_at=now + timedelta(days=3))
    page = text_of(signed_in(alice))
    listed = page[page.index('class="grant-list"') :]
    order = [listed.index(">Daily"), listed.index("Launch week"), listed.index("Pack of mine")]
    assert order == sorted(order)
    assert "20 credits (Launch week) expire" in page


@pytest.mark.requirement("REFLY-06")
def test_a_limited_grant_names_its_services_and_does_not_count_as_available(
    alice: User, account_of: AccountOf, signed_in: SignedIn
) -> None:
    give(account_of(alice), "300", timezone.now(), kind="bonus", services=["tag:advanced"])
    page = text_of(signed_in(alice))
    assert "Advanced models only" in page
    assert '<p class="balance-figure" title="100">100</p>' in page
    assert "300 more credits are for selected services only." in page


@pytest.mark.requirement("APIN-06", "FLOW-07")
def test_usage_is_charted_by_day_and_by_model(
    clock: object, alice: User, account_of: AccountOf, signed_in: SignedIn
) -> None:
    account, now = account_of(alice), timezone.now()
    give(account, "500", now - timedelta(days=3))
    spend(account, "30", now - timedelta(days=2), service="claude-sonnet-4")
    spend(account, "10.25", now - timedelta(days=2), service="gpt-4o")
    spend(account, "5", now, service="gpt-4o")
    page = text_of(signed_in(alice))
    assert 'aria-label="18 Nov: 40.25 credits"' in page
    assert 'aria-label="20 Nov: 5 credits"' in page
    assert 'aria-label="19 Nov: 0 credits"' in page
    by_model = page[page.index('id="by-model"') : page.index('id="activity"')]
    assert by_model.index("Claude Sonnet 4") < by_model.index("GPT-4o")
    assert "15.25" in by_model


@pytest.mark.fault("T8")
@pytest.mark.parametrize(
    ("zone", "day"), [("UTC", "20 Nov"), ("Asia/Kathmandu", "20 Nov"), ("Pacific/Kiritimati", "21 Nov")]
)
def test_a_charge_counts_on_the_accounts_own_day(
    clock: object, alice: User, account_of: AccountOf, signed_in: SignedIn, zone: str, day: str
) -> None:
    account = account_of(alice)
    Account.objects.filter(pk=account.pk).update(zone=zone)
    spend(account, "5", datetime(2026, 11, 20, 11, 30, tzinfo=UTC))
    assert f'aria-label="{day}: 5 credits"' in text_of(signed_in(alice))


def test_it_shows_how_long_the_credits_last(
    clock: object, alice: User, account_of: AccountOf, signed_in: SignedIn
) -> None:
    account, now = account_of(alice), timezone.now()
    Allowance.objects.filter(account=account).update(next_at=None)
    give(account, "400", now - timedelta(days=1))
    spend(account, "100", now - timedelta(days=1, hours=1))
    spend(account, "50", now)
    # 350 are left of 500, of which 50 expire at midnight; 150 in two days are 75 a day
    assert "At your current usage, your credits last about 4 days." in text_of(signed_in(alice))


def test_the_largest_services_and_the_others_are_all_of_what_was_spent(
    clock: object, alice: User, account_of: AccountOf, signed_in: SignedIn
) -> None:
    account, now = account_of(alice), timezone.now()
    for key in Service.objects.order_by("key").values_list("key", flat=True)[:8]:
        spend(account, "10", now, service=key)
    page = text_of(signed_in(alice))
    by_model = page[page.index('id="by-model"') : page.index('id="activity"')]
    assert by_model.count("<li") == 7
    assert by_model.count('10</span> <span class="faint">12%</span>') == 6
    assert '<a href="/usage/?by=service&amp;since=2026-10-22&amp;until=2026-11-20">Other</a>' in by_model
    assert '20</span> <span class="faint">25%</span>' in by_model


def test_what_was_spent_before_the_last_thirty_days_is_not_called_no_usage_yet(
    clock: object, alice: User, account_of: AccountOf, signed_in: SignedIn
) -> None:
    spend(account_of(alice), "10", timezone.now() - timedelta(days=40))
    page = text_of(signed_in(alice))
    assert "No usage in the last 30 days" in page
    assert "No usage yet" not in page


def test_the_spending_is_loaded_again_with_the_balance(
    alice: User, account_of: AccountOf, signed_in: SignedIn
) -> None:
    client, account = signed_in(alice), account_of(alice)
    page = text_of(client)
    assert 'id="spending" hx-get="/dashboard/spending" hx-trigger="balance-changed from:body"' in page
    spend(account, "12.5", timezone.now())
    fragment = text_of(client, "/dashboard/spending")
    assert '<span class="stat-figure">12.5</span>' in fragment and "Claude Sonnet 4" in fragment
    assert "<html" not in fragment


@pytest.mark.requirement("APIN-07")
def test_a_low_balance_has_a_banner_with_its_threshold(
    alice: User, account_of: AccountOf, signed_in: SignedIn
) -> None:
    account = account_of(alice)
    ledger.set_warning(account_id=account.pk, below=Decimal(40), now=timezone.now())
    assert "is below your alert threshold" not in text_of(signed_in(alice))
    spend(account, "70", timezone.now())
    assert "Your balance is below your alert threshold of 40 credits." in text_of(signed_in(alice))


@pytest.mark.requirement("FLICK-06")
def test_without_credits_it_shows_the_options(
    clock: object, alice: User, account_of: AccountOf, signed_in: SignedIn
) -> None:
    spend(account_of(alice), "100", timezone.now())
    page = text_of(signed_in(alice))
    assert "You have no credits. Calls are refused." in page
    assert "You get new credits" in page and "21 Nov, 00:00" in page
    assert "Upgrade to Starter" in page and "Upgrade to Creator" in page and "Buy credits" in page


@pytest.mark.requirement("REFLY-06", "FLICK-06")
def test_with_limited_credits_only_it_says_which_calls_are_refused(
    clock: object, alice: User, account_of: AccountOf, signed_in: SignedIn
) -> None:
    account, now = account_of(alice), timezone.now()
    spend(account, "100", now)
    give(account, "300", now, kind="bonus", services=["tag:advanced"])
    page = text_of(signed_in(alice))
    assert "Your credits are for selected services only. Calls to other services are refused." in page
    assert "You have no credits" not in page
    assert "300 more credits are for selected services only." in page
    assert "Upgrade to Starter" in page and "Buy credits" in page
    give(account, "0.1178", now)
    page = text_of(signed_in(alice))
    words = "Only 0.1178 credits are left for all services, the others are for selected services only."
    assert words in page


@pytest.mark.requirement("REFLY-09", "REFLY-10")
def test_an_early_bird_without_credits_is_not_sent_to_a_plan_without_a_way_back(
    clock: object, alice: User, account_of: AccountOf, signed_in: SignedIn
) -> None:
    account = account_of(alice)
    spend(account, "100", timezone.now())
    Subscription.objects.filter(account=account).update(plan="early-bird")
    plan_terms.forget(account.pk)
    page = text_of(signed_in(alice))
    assert "Models that are unlimited on your plan go on working; other calls are refused." in page
    assert "Upgrade to" not in page
    assert "Buy credits" in page


@pytest.mark.requirement("FLICK-06")
@pytest.mark.parametrize(
    ("spent", "words"),
    [
        ("99.8822", "Only 0.1178 credits are left. Calls that cost more are refused."),
        ("99", "below your alert threshold of 20 credits."),
    ],
)
def test_a_remainder_has_the_same_ways_to_more_credits(
    clock: object, alice: User, account_of: AccountOf, signed_in: SignedIn, spent: str, words: str
) -> None:
    spend(account_of(alice), spent, timezone.now())
    page = text_of(signed_in(alice))
    banner = page[page.index('class="banner banner-warn"') : page.index('id="balance-label"')]
    assert words in banner
    assert "You get new credits" in banner and "21 Nov, 00:00" in banner
    assert "Upgrade to Starter" in banner and "Buy credits" in banner


def test_a_balance_has_the_same_figures_on_every_page(
    clock: object, alice: User, account_of: AccountOf, signed_in: SignedIn
) -> None:
    account, now = account_of(alice), timezone.now()
    give(account, "300", now, kind="bonus", services=["tag:advanced"])
    client = signed_in(alice)
    more = "300 more credits are for selected services only."
    dashboard, plan, history = (
        text_of(client, path) for path in ("/", "/billing/subscription/", "/history/")
    )
    assert dashboard.count(more) == 2, "in the header's panel and on the page"
    assert (
        '<p class="stat-figure" title="100">100</p>' in plan
        and "Total balance: 400" in plan
        and plan.count(more) == 2
    )
    assert 'wide-only">Total balance</th>' in history
    assert '<td class="number quiet wide-only" data-pad=".00">400</td>' in history and more in history


def test_a_debt_is_shown_first(alice: User, account_of: AccountOf, signed_in: SignedIn) -> None:
    from core.ids import new_id

    account, now, purchase = account_of(alice), timezone.now(), new_id()
    give(account, "50", now, purchase_id=purchase)
    spend(account, "130", now)
    ledger.claw_back(
        account_id=account.pk, purchase_id=purchase, key="back", credits=None, reason="", now=now
    )
    page = text_of(signed_in(alice))
    assert "You owe 30 credits" in page


def test_a_new_account_is_shown_the_next_step(alice: User, signed_in: SignedIn) -> None:
    page = text_of(signed_in(alice))
    assert "No usage yet" in page
    assert "Read documentation" in page
    assert '<a class="button" href="/pricing/">View prices</a>' in page


@pytest.mark.requirement("REFLY-10")
def test_unlimited_models_are_listed(
    alice: User, signed_in: SignedIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    from usage import entitlements

    monkeypatch.setattr(
        entitlements, "unlimited_services", lambda account_id: frozenset({"claude-sonnet-4", "gpt-4o"})
    )
    page = text_of(signed_in(alice))
    assert "Unlimited on your plan" in page
    assert "Claude Sonnet 4, GPT-4o" in page


def test_the_number_of_queries_does_not_depend_on_the_number_of_charges(
    alice: User,
    account_of: AccountOf,
    signed_in: SignedIn,
    django_assert_max_num_queries: Callable[..., object],
) -> None:
    account = account_of(alice)
    give(account, "1000", timezone.now())
    for number in range(12):
        spend(account, "1", timezone.now(), conversation=f"c-{number}")
    client = signed_in(alice)
    client.get("/")
    with django_assert_max_num_queries(24):  # type: ignore[attr-defined]
        client.get("/")


def test_other_users_do_not_see_the_account(
    alice: User, charlie: User, account_of: AccountOf, signed_in: SignedIn
) -> None:
    give(account_of(alice), "98765", timezone.now(), label="Secret pack")
    page = text_of(signed_in(charlie))
    assert "98,765" not in page
    assert "Secret pack" not in page


def test_anonymous_visitors_are_redirected_to_sign_in(client: Client, db: None) -> None:
    response = client.get("/")
    assert response.status_code == 302
    assert response["Location"].startswith("/accounts/login/")
