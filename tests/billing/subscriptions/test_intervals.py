"""Changes between monthly and yearly payment, credits in the customer's balance, and small amounts."""

from collections.abc import Callable
from decimal import Decimal
from random import Random
from typing import Any

import pytest
from django.db.models import Sum
from django.utils import timezone

from accounts.models import Account, User
from billing import ledger
from billing.models import Entry, Purchase, Subscription
from billing.subscriptions import changes, previews
from sandbox import store
from tests.billing.subscriptions.conftest import bonus, buy_starter, set_credit
from tests.billing.subscriptions.test_proration import change, new_credits, spend

pytestmark = [pytest.mark.django_db, pytest.mark.fault("P22")]


@pytest.fixture
def yearly(clock: Any, stripe_api: Any, account: Account, alice: User) -> Subscription:
    """Alice subscribed to Starter by the year on 31 October."""
    return buy_starter(account, alice, "year")


def balance_at_stripe(subscription: Subscription) -> int:
    remote = store.get("subscription", str(subscription.stripe_subscription_id))
    return int(store.get("customer", remote["customer"])["balance"])


def test_yearly_to_monthly_credits_the_rest_of_the_year_to_the_next_invoices(
    yearly: Subscription, account: Account, advance: Callable[..., None]
) -> None:
    advance(days=73)  # a fifth of the year
    preview = change(account, "starter", "month")

    assert (preview.kind, preview.due_now) == ("switch", 0)
    assert preview.amounts is not None
    assert (preview.amounts.unused, preview.amounts.credit_added) == (7920, 7920 - 990)
    assert balance_at_stripe(yearly) == 990 - 7920
    yearly.refresh_from_db()
    assert (yearly.plan, yearly.interval, yearly.amount) == ("starter", "month", 990)
    assert yearly.paid_until == yearly.period_end
    advance(days=31, hours=2)
    assert balance_at_stripe(yearly) == 2 * 990 - 7920
    assert bonus(account) == 1000


def test_a_smaller_plan_by_the_month_returns_no_money_for_credits_that_stay(
    starter: Subscription, account: Account, advance: Callable[..., None]
) -> None:
    change(account, "creator", "year")
    spend(account, 500 + 3000)
    before = bonus(account)

    preview = change(account, "starter", "month")

    # A third of this month's 3,000 credits is worth the new plan's 1,000: the other two thirds are paid.
    assert new_credits(preview)["Monthly bonus"] <= Decimal("0.01")
    assert bonus(account) - before <= Decimal("0.01")
    assert preview.amounts is not None
    year = 19900
    assert year - preview.amounts.unused == pytest.approx(year * 20 / 365, abs=20)
    starter.refresh_from_db()
    assert (starter.plan, starter.interval) == ("starter", "month")


def test_a_larger_plan_by_the_month_and_a_smaller_one_by_the_year_begin_at_once(
    yearly: Subscription, account: Account, advance: Callable[..., None]
) -> None:
    advance(days=10)
    assert change(account, "studio", "month").kind == "upgrade"
    advance(days=10)
    preview = change(account, "starter", "year")
    yearly.refresh_from_db()
    assert (preview.kind, yearly.plan, yearly.interval) == ("switch", "starter", "year")


def test_the_payment_of_a_larger_plan_by_the_month_is_for_that_month_not_for_the_rest_of_the_year(
    yearly: Subscription, account: Account, advance: Callable[..., None]
) -> None:
    advance(days=200)
    change(account, "studio", "month")
    purchase = Purchase.objects.get(origin="renewal")
    yearly.refresh_from_db()
    assert (purchase.period_start, purchase.period_end) == (yearly.period_start, yearly.period_end)
    assert purchase.amount == 4990 - 9900 * 165 // 365


@pytest.mark.parametrize(
    ("balance", "due", "after"),
    [(0, 1990 - 990, 0), (-600, 400, 0), (-980, 0, 20), (-5000, 0, -4000), (300, 1300, 0)],
)
def test_an_upgrade_charges_and_leaves_in_the_balance_what_the_preview_said(
    starter: Subscription, account: Account, balance: int, due: int, after: int
) -> None:
    set_credit(str(starter.stripe_subscription_id), balance)

    preview = change(account, "creator")

    assert preview.amounts is not None
    assert (preview.amounts.due, preview.amounts.balance_after) == (due, after)
    assert balance_at_stripe(starter) == after
    charged = Purchase.objects.filter(origin="renewal").values_list("amount", flat=True)
    assert sum(charged) == due
    starter.refresh_from_db()
    assert (starter.plan, starter.paid_until) == ("creator", starter.period_end)
    assert bonus(account) == 1000 + 2000


def test_a_confirmation_is_refused_when_the_balance_at_stripe_has_changed(
    starter: Subscription, account: Account
) -> None:
    now = timezone.now()
    preview = previews.preview(account, plan_key="creator", interval="", currency="usd", now=now)
    set_credit(str(starter.stripe_subscription_id), 500)

    with pytest.raises(previews.ConfirmationStale):
        changes.confirm(account, preview.token, now)


@pytest.mark.parametrize("mode", ["classic", "flexible"])
def test_an_upgrade_after_a_scheduled_downgrade_credits_the_plan_that_was_paid(
    starter: Subscription, account: Account, advance: Callable[..., None], mode: str
) -> None:
    change(account, "creator")
    body = store.get("subscription", str(starter.stripe_subscription_id))
    store.save(body | {"billing_mode": body["billing_mode"] | {"type": mode}})
    change(account, "starter")
    advance(days=15)

    preview = change(account, "studio")

    assert preview.amounts is not None
    assert (preview.amounts.unused, preview.due_now) == (995, 4990 - 995)
    assert bonus(account) == 3000 + 10_000 - 1500


@pytest.mark.parametrize("seed", range(2))
def test_repeated_changes_of_plan_and_interval_never_grant_more_credits_than_were_paid_for(
    yearly: Subscription, account: Account, advance: Callable[..., None], seed: int
) -> None:
    random = Random(seed)
    for _step in range(8):
        advance(hours=random.choice([1, 30, 300]))
        if (left := int(ledger.balance(account.pk, timezone.now()).available)) > 1:
            spend(account, left)
        subscription = Subscription.objects.get(account=account)
        other = "month" if subscription.interval == "year" else "year"
        change(account, random.choice(["starter", "creator", "studio"]), other)

    subscription = Subscription.objects.get(account=account)
    other = "month" if subscription.interval == "year" else "year"
    at_an_end = previews.preview(
        account, plan_key="studio", interval=other, currency="usd", now=timezone.now()
    )
    assert at_an_end.amounts is not None
    paid = Purchase.objects.filter(status="paid").aggregate(paid=Sum("amount"))["paid"]
    used = paid + balance_at_stripe(subscription) - at_an_end.amounts.unused
    deducted = 10_000 - new_credits(at_an_end).get("Monthly bonus", Decimal(0))
    given = Entry.objects.filter(account=account, kind="grant", grant__kind="bonus")
    credits = given.aggregate(given=Sum("credits"))["given"] - deducted
    # Studio by the year has the lowest price of one credit: 120,000 for 499.00.
    assert credits <= used * Decimal(120_000) / 49_900 + 20
