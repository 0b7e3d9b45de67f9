"""What an account's use would have cost on each plan: its credits, packs, unlimited services."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import Account, User
from billing import ledger
from billing.models import Charge, Limit, Subscription
from billing.subscriptions import plan_terms
from pricing.models import Pack, Plan
from tests.usage.spending import give, spend
from usage import charging, entitlements
from usage.repricing import plan_advice
from usage.repricing.plan_advice import Advice, PlanCost

AccountOf = Callable[[User], Account]
DAY = timedelta(days=1)


@pytest.fixture
def account(clock: object, alice: User, account_of: AccountOf) -> Account:
    """Noon of 20 November, on the free plan with 100 credits a day, and 100,000 credits to spend."""
    account = account_of(alice)
    give(account, "100000", timezone.now() - 40 * DAY)
    return account


def advice_of(account: Account) -> Advice:
    return plan_advice.of(account, timezone.now())


def cost(advice: Advice, plan: str) -> PlanCost:
    return next(cost for cost in advice.costs if cost.plan.key == plan)


def on_plan(account: Account, key: str, **fields: object) -> None:
    Subscription.objects.filter(account=account).update(plan=key, **fields)
    plan_terms.forget(account.pk)


def test_daily_credits_count_on_their_day_only_and_monthly_credits_for_the_rest(account: Account) -> None:
    now = timezone.now()
    spend(account, "150", now - 2 * DAY)
    spend(account, "1100", now - DAY)
    advice = advice_of(account)
    assert advice.used == 1250
    # 50 and 1,000 are missing on the free plan, which may buy packs: 3 of 500 or 1 of a larger one
    free = cost(advice, "free-trial")
    assert free.pack is not None and free.packs * free.pack.pack.credits >= 1050
    assert (free.price, free.total, free.refused) == (0, free.packs * free.pack.amount, 0)
    # 200 a day leave 900, which the monthly 1,000 cover
    starter = cost(advice, "starter")
    assert (starter.price, starter.packs, starter.total) == (990, 0, 990)


def test_what_was_used_before_the_last_thirty_days_does_not_count(account: Account) -> None:
    spend(account, "5000", timezone.now() - 30 * DAY)
    assert advice_of(account).used == 0


def test_returned_credits_were_not_spent(account: Account) -> None:
    charge = spend(account, "100", timezone.now())
    ledger.reverse(
        account_id=account.pk,
        charge_id=charge.charge_id,
        key="back",
        reason="Wrong picture",
        credits=Decimal(30),
        now=timezone.now(),
    )
    assert advice_of(account).used == 70


def test_the_cheapest_pack_is_the_one_whose_needed_number_costs_least(account: Account) -> None:
    Pack.objects.exclude(key="small").update(retired_at=timezone.now())
    spend(account, "1101", timezone.now())  # 1,001 more than today's
    free = cost(advice_of(account), "free-trial")
    assert (free.packs, free.pack and free.pack.key) == (3, "small")
    spend(account, "0.000001", timezone.now() - DAY)
    assert cost(advice_of(account), "free-trial").packs == 3, "covered by the credits of that day"


def test_a_plan_whose_account_may_buy_no_packs_refuses_the_rest_and_is_never_the_best(
    account: Account,
) -> None:
    Pack.objects.update(paid_plans_only=True)
    spend(account, "300", timezone.now())
    advice = advice_of(account)
    free = cost(advice, "free-trial")
    assert (free.packs, free.refused, advice.costs[-1]) == (0, 200, free)
    assert advice.best is not None and advice.best.plan.key == "starter"
    assert advice.saving == 0, "a plan that refuses calls is no comparison"


def test_the_best_plan_saves_the_difference_to_the_present_one(account: Account) -> None:
    on_plan(account, "creator", stripe_subscription_id="sub_1", currency="usd", interval="month")
    spend(account, "250", timezone.now())
    advice = advice_of(account)
    assert advice.current is not None and advice.current.total == 1990
    assert advice.best is not None
    assert advice.saving == 1990 - advice.best.total > 0


@pytest.mark.parametrize(
    ("interval", "amount", "price"), [("year", 19900, 1659), ("month", 1490, 1490), ("month", 1990, 1990)]
)
def test_the_present_plan_costs_what_the_account_pays(
    account: Account, interval: str, amount: int, price: int
) -> None:
    paid = {"stripe_subscription_id": "sub_1", "currency": "usd", "interval": interval, "amount": amount}
    on_plan(account, "creator", **paid)
    spend(account, "50", timezone.now())
    assert cost(advice_of(account), "creator").price == price


def test_use_that_the_present_plan_covers_is_priced_for_the_others(account: Account) -> None:
    covered = Plan.objects.get(key="early-bird").unlimited_services[0]
    on_plan(account, "early-bird")
    use = charging.Use(account_id=account.pk, service=covered, usage={"tokens": 5000})
    for key in ("covered", "again"):
        charging.charge(use, key=key, fingerprint=b"", now=timezone.now())
    assert set(Charge.objects.values_list("covered_by", flat=True)) == {entitlements.UNLIMITED}
    price = 2 * charging.quote_of(use, timezone.now()).credits
    advice = advice_of(account)
    assert advice.used == price > 0
    assert cost(advice, "early-bird").spent == 0
    assert cost(advice, "starter").spent == price


def test_an_action_with_a_price_of_its_own_is_not_covered_with_its_model(account: Account) -> None:
    covered = Plan.objects.get(key="early-bird").unlimited_services[0]
    use = charging.Use(account_id=account.pk, service=covered, action="agent-run", usage={"uses": 1})
    charging.charge(use, key="run", fingerprint=b"", now=timezone.now())
    on_plan(account, "early-bird")
    assert cost(advice_of(account), "early-bird").spent == 5


def test_daily_credits_are_those_of_the_accounts_day(account: Account) -> None:
    Account.objects.filter(pk=account.pk).update(zone="Asia/Kathmandu")
    account.refresh_from_db()
    midnight = datetime(2026, 11, 18, 18, 15, tzinfo=UTC)  # of 19 November in Kathmandu
    for hours in (1, 23):
        spend(account, "60", midnight + timedelta(hours=hours))
    assert cost(advice_of(account), "free-trial").packs == 1, "20 more than the day's 100"


def test_an_action_on_an_unlimited_model_is_not_covered_and_counts_once(account: Account) -> None:
    covered = Plan.objects.get(key="early-bird").unlimited_services[0]
    on_plan(account, "early-bird")
    spend(account, "7", timezone.now(), service=covered, action="document-question")
    spend(account, "5", timezone.now(), service=covered)
    advice = advice_of(account)
    assert advice.used == 12
    assert cost(advice, "early-bird").spent == 7
    assert cost(advice, "starter").spent == 12


def test_uses_beyond_a_quota_are_named_and_such_a_plan_is_never_the_best(account: Account) -> None:
    upload = {"service": "document-upload", "quota": ("files", 60)}
    spend(account, "6", timezone.now() - DAY, **upload)
    ledger.set_limit(
        account_id=account.pk, kind="quota", subject="files", period="ever",
        maximum=Decimal(500), now=timezone.now(),
    )  # fmt: skip
    spend(account, "6", timezone.now(), **upload)
    Limit.objects.filter(account_id=account.pk, subject="files").update(used=Decimal(130))
    advice = advice_of(account)
    # 10 of the 130 were before these days: 90 of the free plan's 100 are left for the 120
    assert [(one.label, one.count) for one in cost(advice, "free-trial").excess] == [("Uploaded files", 30)]
    assert cost(advice, "starter").excess == []
    assert advice.costs[-1].plan.key == "free-trial"
    assert advice.best is not None and advice.best.plan.key == "starter"


@pytest.mark.parametrize(("period", "excess"), [("day", 20), ("month", 60)])
def test_a_quota_of_a_day_is_counted_by_day(account: Account, period: str, excess: int) -> None:
    Plan.objects.filter(key="starter").update(
        quotas=[{"key": "files", "label": "Files", "maximum": "40", "period": period}]
    )
    for days, count in ((0, 60), (1, 40)):
        spend(account, "1", timezone.now() - days * DAY, quota=("files", count))
    assert [one.count for one in cost(advice_of(account), "starter").excess] == [excess]


def test_use_with_a_key_of_ones_own_costs_nothing_on_any_plan(account: Account) -> None:
    spend(account, "0", timezone.now(), covered_by=entitlements.OWN_KEY)
    assert advice_of(account).used == 0


def test_credits_for_some_services_cover_only_those(account: Account) -> None:
    terms = {"key": "x", "kind": "plan", "label": "X", "credits": "1000", "period": "month"}
    Plan.objects.filter(key="starter").update(allowances=[terms | {"services": ["gpt-4o"]}])
    spend(account, "100", timezone.now(), service="gpt-4o")
    spend(account, "50", timezone.now(), service="claude-sonnet-4")
    starter = cost(advice_of(account), "starter")
    assert starter.pack is not None and starter.packs == 1, "the 50 of the other service"
    for_all = terms | {"key": "y", "credits": "100"}
    allowances = [for_all, terms | {"services": ["claude-sonnet-4"]}]
    Plan.objects.filter(key="starter").update(allowances=allowances)
    assert cost(advice_of(account), "starter").packs == 0, "those for one service are used first"


@pytest.mark.parametrize("scope", ["claude-sonnet-4", "agent-run"])
def test_credits_for_a_model_or_for_an_action_cover_a_use_of_both(account: Account, scope: str) -> None:
    terms = {"key": "x", "kind": "plan", "label": "X", "credits": "1000", "period": "month"}
    Plan.objects.filter(key="starter").update(allowances=[terms | {"services": [scope]}])
    service = {"service": "claude-sonnet-4", "action": "agent-run"}
    use = charging.Use(account_id=account.pk, usage={"uses": 1}, **service)
    charging.charge(use, key="run", fingerprint=b"", now=timezone.now())
    starter = cost(advice_of(account), "starter")
    assert (starter.spent, starter.packs) == (5, 0)


def test_a_plan_without_a_price_in_the_currency_is_left_out(account: Account) -> None:
    Plan.objects.filter(key="studio").update(prices={"month": {"eur": 4990}})
    Plan.objects.filter(key="creator").update(prices={"year": {"usd": 19901}})
    plans = {cost.plan.key: cost.price for cost in advice_of(account).costs}
    assert "studio" not in plans
    assert plans["creator"] == 1659, "a twelfth of the year's price, rounded up"


def test_the_page_names_the_saving_and_every_plan(
    account: Account, alice: User, signed_in: Callable[[User], Client]
) -> None:
    on_plan(account, "creator", stripe_subscription_id="sub_1", currency="usd", interval="month")
    ledger.set_limit(
        account_id=account.pk,
        kind="quota",
        subject="files",
        period="ever",
        maximum=Decimal(500),
        now=timezone.now(),
    )
    spend(account, "50", timezone.now(), quota=("files", 101))
    page = signed_in(alice).get("/usage/plans/").content.decode()
    assert "Starter would have cost $10.00 less" in page
    assert "Beyond the quota “Uploaded files”: 1 use would have been refused" in page
    for name in ("Starter", "Creator", "Studio"):
        assert name in page
    assert 'href="/usage/plans/"' in signed_in(alice).get("/plans/").content.decode()


def test_without_use_the_page_says_so(
    alice: User, account_of: AccountOf, signed_in: Callable[[User], Client]
) -> None:
    account_of(alice)
    assert "No usage in the last 30 days" in signed_in(alice).get("/usage/plans/").content.decode()
