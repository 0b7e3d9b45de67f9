"""Upgrades within a paid period prorate credits as Stripe prorates the price."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from random import Random
from typing import Any

import pytest
import time_machine
from django.db.models import Sum
from django.utils import timezone

from accounts.models import Account
from billing import ledger
from billing.models import Entry, Purchase, Subscription
from billing.subscriptions import changes, previews, prices
from pricing.models import Plan
from tests.billing.subscriptions.conftest import bonus

pytestmark = pytest.mark.django_db


def change(account: Account, plan: str, interval: str = "") -> previews.Preview:
    """Change the plan now, as the preview showed."""
    now = timezone.now()
    preview = previews.preview(account, plan_key=plan, interval=interval, currency="usd", now=now)
    changes.confirm(account, preview.token, now)
    return preview


def spend(account: Account, credits: int) -> None:
    """Charge a use that daily credits and the bonus may pay for; daily credits are spent first."""
    request = ledger.ChargeRequest(
        account_id=account.pk,
        credits=Decimal(credits),
        key=f"spend:{timezone.now()}:{credits}",
        service="claude-sonnet-4",
        covers=("claude-sonnet-4", "tag:advanced"),
    )
    ledger.charge(request, timezone.now())


def new_credits(preview: previews.Preview) -> dict[str, Decimal]:
    return {grant.label: grant.credits for grant in preview.new_grants}


@pytest.mark.fault("P22")
def test_credits_that_are_not_carried_over_count_as_returned(
    starter: Subscription, account: Account, advance: Callable[..., None]
) -> None:
    Plan.objects.filter(key="creator").update(carry_over=False)
    advance(days=15)
    spend(account, 200 + 700)

    preview = change(account, "creator")

    # Half of the 1,000 is unused time: 300 of it expire with the change, 200 were spent early.
    assert new_credits(preview)["Monthly bonus"] == 3000 - 200
    assert bonus(account) == 2800


@pytest.mark.fault("P22")
@pytest.mark.requirement("FLICK-09", "FLICK-12")
def test_an_upgrade_begins_a_period_with_price_and_credits_prorated_alike(
    starter: Subscription, account: Account, advance: Callable[..., None]
) -> None:
    advance(days=15)  # half of the period from 31 October to 30 November
    spend(account, 600)
    assert bonus(account) == 1000 - 400

    preview = change(account, "creator")

    assert preview.due_now == 1990 - 495
    assert new_credits(preview) == {"Monthly bonus": 3000 - 500, "Daily refresh": 500 - 200}
    assert bonus(account) == 600 + 2500
    starter.refresh_from_db()
    assert starter.period_start == starter.anchor_at == timezone.now()
    assert Purchase.objects.get(origin="renewal").amount == preview.due_now
    advance(days=29)
    assert bonus(account) == 600 + 2500
    advance(days=1)  # 15 December
    assert bonus(account) == 3000


@pytest.mark.fault("P22")
def test_a_confirmation_minutes_after_the_preview_costs_and_grants_what_was_shown(
    starter: Subscription, account: Account, advance: Callable[..., None], clock: time_machine.Traveller
) -> None:
    advance(days=10)
    preview = previews.preview(
        account, plan_key="creator", interval="month", currency="usd", now=timezone.now()
    )
    clock.shift(timedelta(minutes=20))
    changes.confirm(account, preview.token, timezone.now())

    assert Purchase.objects.get(origin="renewal").amount == preview.due_now
    assert bonus(account) == 1000 + new_credits(preview)["Monthly bonus"]
    starter.refresh_from_db()
    assert starter.period_start == timezone.now()


@pytest.mark.fault("P22")
def test_credits_spent_before_an_upgrade_are_not_granted_again(
    starter: Subscription, account: Account
) -> None:
    spend(account, 1200)  # the whole bonus of the month in the first second

    change(account, "creator")

    assert bonus(account) == 3000 - 1000
    daily = [grant for grant in ledger.balance(account.pk, timezone.now()).grants if grant.kind == "daily"]
    assert sum(grant.remaining for grant in daily) == 500 - 200


@pytest.mark.fault("P22")
def test_changing_to_yearly_payment_grants_no_second_bonus_for_the_credited_month(
    starter: Subscription, account: Account, advance: Callable[..., None]
) -> None:
    advance(days=3)
    spend(account, 1200)

    preview = change(account, "starter", "year")

    assert new_credits(preview)["Monthly bonus"] == 1000 - 900
    assert preview.due_now == 9900 - 891
    assert bonus(account) == 100
    advance(days=31)
    assert bonus(account) == 1000


@pytest.mark.fault("P22")
def test_credits_of_a_removed_allowance_end_when_the_plan_begins_anew_and_the_preview_says_so(
    subscribe: Callable[..., Subscription], clock: time_machine.Traveller, account: Account
) -> None:
    plan = Plan.objects.filter(key="starter")
    kept = plan.get().allowances
    monthly = next(allowance for allowance in kept if allowance["period"] == "month")
    plan.update(allowances=[*kept, monthly | {"key": "removed", "label": "Removed", "credits": "70"}])
    subscribe("starter")
    assert bonus(account) == 1070
    plan.update(allowances=kept)
    clock.shift(timedelta(days=1))

    preview = change(account, "starter", "year")

    outcomes = {grant.label: grant.outcome for grant in preview.grants}
    assert (outcomes["Removed"], outcomes["Monthly bonus"]) == ("lost", "carried")
    left = {grant.label for grant in ledger.balance(account.pk, timezone.now()).grants if grant.remaining}
    assert "Removed" not in left and "Monthly bonus" in left


@pytest.mark.fault("P22")
@pytest.mark.parametrize("seconds", [0, 1])
@pytest.mark.parametrize(
    ("first", "second", "interval", "due", "left"),
    [
        ("starter", "starter", "year", 9900 - 990, 600),
        ("starter", "creator", "year", 19900 - 990, 600 + 2000),
        ("creator", "starter", "year", 9900 - 663, 2900),  # a third of the price is credited
        ("studio", "creator", "year", 19900 - 1497, 10_000),
        ("starter", "studio", "month", 4990 - 990, 600 + 9000),
    ],
)
def test_a_change_in_the_second_in_which_the_period_began_is_one_of_a_second_later(
    subscribe: Callable[..., Subscription],
    clock: time_machine.Traveller,
    account: Account,
    seconds: int,
    first: str,
    second: str,
    interval: str,
    due: int,
    left: int,
) -> None:
    subscribe(first)
    spend(account, 600)
    clock.shift(timedelta(seconds=seconds))
    assert (change(account, second, interval).due_now, bonus(account)) == (due, left)


@pytest.mark.fault("P22")
@pytest.mark.parametrize("seed", range(3))
def test_repeated_changes_never_grant_more_credits_than_were_paid_for(
    starter: Subscription, account: Account, advance: Callable[..., None], seed: int
) -> None:
    random = Random(seed)
    for _month in range(4):
        hours = random.choice([1, 24, 300, 24 * 28 - 3])
        advance(hours=hours)
        spend(account, random.choice([100, 1200]))
        for plan in random.choice([["studio"], ["creator", "studio"], ["creator"]]):
            if (
                previews.preview(
                    account, plan_key=plan, interval="month", currency="usd", now=timezone.now()
                ).kind
                == "upgrade"
            ):
                change(account, plan)
            spend(account, random.choice([100, 600]))
        change(account, "starter")
        starter.refresh_from_db()
        advance(seconds=int((starter.period_end - timezone.now()).total_seconds()) + 7200)
        starter.refresh_from_db()
        assert starter.plan == "starter"

    given = Entry.objects.filter(account=account, kind="grant", grant__kind="bonus")
    paid = Purchase.objects.filter(kind="plan", status="paid").aggregate(paid=Sum("amount"))["paid"]
    # Studio has the lowest price of one credit: 10,000 for 49.90.
    assert given.aggregate(given=Sum("credits"))["given"] <= paid * Decimal(10_000) / 4990 + 1


@pytest.mark.fault("P22")
def test_a_price_changed_at_stripe_grants_credits_for_the_rest_of_the_period(
    starter: Subscription, account: Account, advance: Callable[..., None], stripe_api: Any
) -> None:
    advance(days=15)
    price = prices.ensure_price(plan_key="creator", interval="month", currency="usd", amount=1990)
    stripe_api.subscriptions.update(
        starter.stripe_subscription_id,
        {
            "items": [{"id": starter.stripe_item_id, "price": price}],
            "proration_behavior": "always_invoice",
        },
    )
    advance(seconds=0)

    starter.refresh_from_db()
    assert (starter.plan, Purchase.objects.get(origin="renewal").amount) == ("creator", 500)
    assert bonus(account) == 1000 + (3000 - 1000) / 2
    advance(days=15, hours=2)  # 30 November: the period of 31 October ends as before
    assert bonus(account) == 3000


def test_time_before_the_current_period_is_not_prorated(
    starter: Subscription, account: Account, clock: time_machine.Traveller
) -> None:
    clock.shift(timedelta(hours=-1))  # the clock of a test subscription is ahead of ours
    preview = previews.preview(account, plan_key="creator", interval="", currency="usd", now=timezone.now())
    assert previews.read_token(account, preview.token)["at"] == starter.period_start.timestamp()
    assert new_credits(preview)["Monthly bonus"] == 3000 - 1000
