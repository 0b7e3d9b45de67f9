"""A paid plan through the months, as Stripe bills it: the clock and the sandbox move, events arrive."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

import pytest
import time_machine
from django.db.models import Sum
from django.utils import timezone

from accounts.models import Account, User
from billing import ledger
from billing.models import Entry, Mail, Purchase, StripeEvent, Subscription
from billing.payments import cards
from billing.purchases import checkout, create
from billing.subscriptions import changes, plan_terms, previews, stripe_sync
from pricing.models import Plan
from sandbox import scheduled_actions
from tests.sandbox.conftest import Buyer

pytestmark = pytest.mark.django_db


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    """A clock that the test moves; it starts on a 31st."""
    with time_machine.travel(datetime(2026, 10, 31, 12, tzinfo=UTC), tick=False) as traveller:
        yield traveller


@pytest.fixture
def month(
    clock: time_machine.Traveller, events: Callable[..., Any], process_event: Callable[..., StripeEvent]
) -> Callable[..., None]:
    """Let time pass at Stripe and here, and everything that it has to tell arrive."""

    def pass_by(**span: Any) -> None:
        clock.shift(timedelta(**span))
        scheduled_actions.run_due(timezone.now())
        plan_terms.forget_all()
        for event in events():
            process_event(event)

    return pass_by


@pytest.fixture
def starter(clock: time_machine.Traveller, stripe_api: Any, account: Account, alice: User) -> Subscription:
    """Alice subscribed to Starter on 31 October."""
    return _subscribe(account, alice, "month")


def _subscribe(account: Account, alice: User, interval: str) -> Subscription:
    order = create.plan_purchase(
        account=account,
        buyer=alice,
        origin="page",
        plan_key="starter",
        interval=interval,
        currency="usd",
        confirm=False,
        key="plan",
        now=timezone.now(),
    )
    Buyer().pay(checkout.open_page(order, timezone.now()))
    checkout.refresh_from_stripe(order, timezone.now())
    return Subscription.objects.get(account=account)


def bonus(account: Account) -> Decimal:
    grants = ledger.balance(account.pk, timezone.now()).grants
    return sum((grant.remaining for grant in grants if grant.kind == "bonus"), Decimal(0))


@pytest.mark.requirement("FLICK-08", "RECR-02", "FLOW-03")
def test_each_paid_month_renews_the_plans_credits_and_what_was_unused_is_gone(
    starter: Subscription, account: Account, month: Callable[..., None]
) -> None:
    month(hours=1)
    assert bonus(account) == 1000
    for number in (1, 2, 3):
        month(days=31)
        assert bonus(account) == 1000, number
        starter.refresh_from_db()
        assert (starter.plan, starter.state) == ("starter", "active")
    paid = Purchase.objects.filter(kind="plan", status="paid")
    assert paid.count() == 4
    assert len({purchase.invoice_number for purchase in paid}) == 4
    assert Mail.objects.filter(template="receipt").count() == 4


@pytest.mark.requirement("RECR-02")
def test_a_yearly_plan_gives_its_credits_each_month(
    clock: time_machine.Traveller,
    stripe_api: Any,
    account: Account,
    alice: User,
    month: Callable[..., None],
) -> None:
    _subscribe(account, alice, "year")
    for days in (1, 30, 31, 31):
        month(days=days)
        assert bonus(account) == 1000
    assert Purchase.objects.filter(status="paid").count() == 1


def test_an_unpaid_renewal_stops_the_credits_and_paying_brings_them_back(
    starter: Subscription, account: Account, month: Callable[..., None], stripe_api: Any
) -> None:
    month(hours=1)
    customer = cards.ensure_customer(account)
    failing = stripe_api.payment_methods.attach("pm_card_chargeCustomerFail", {"customer": customer})
    stripe_api.customers.update(customer, {"invoice_settings": {"default_payment_method": failing.id}})
    stripe_api.subscriptions.update(starter.stripe_subscription_id, {"default_payment_method": failing.id})

    month(days=31)

    starter.refresh_from_db()
    assert starter.state == Subscription.State.PAST_DUE
    assert bonus(account) == 0
    assert starter.recovery_url
    assert Mail.objects.filter(template="payment_overdue").count() == 1

    Buyer().pay(starter.recovery_url)
    month(minutes=5)

    starter.refresh_from_db()
    assert (starter.state, starter.recovery_url) == ("active", "")
    assert bonus(account) == 1000


def test_a_downgrade_takes_effect_with_the_next_paid_period(
    starter: Subscription, account: Account, month: Callable[..., None]
) -> None:
    month(hours=1)

    def change(plan: str) -> None:
        shown = previews.preview(account, plan_key=plan, interval="month", currency="usd", now=timezone.now())
        changes.confirm(account, shown.token, timezone.now())

    change("creator")
    change("starter")
    starter.refresh_from_db()
    assert (starter.plan, starter.next_plan) == ("creator", "starter")

    month(days=31)

    starter.refresh_from_db()
    assert (starter.plan, starter.next_plan, starter.amount) == ("starter", "", 990)
    assert bonus(account) == 1000


def test_a_cancelled_plan_ends_with_what_is_paid(
    starter: Subscription, account: Account, month: Callable[..., None]
) -> None:
    month(hours=1)
    changes.cancel(account, timezone.now())
    month(days=20)
    assert bonus(account) == 1000

    month(days=12)

    starter.refresh_from_db()
    assert (starter.plan, starter.paid) == ("free-trial", False)
    assert bonus(account) == 0


def change(account: Account, plan: str, interval: str = "") -> previews.Preview:
    """Change the plan now, as the preview showed."""
    now = timezone.now()
    shown = previews.preview(account, plan_key=plan, interval=interval, currency="usd", now=now)
    changes.confirm(account, shown.token, now)
    return shown


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


def arriving(shown: previews.Preview) -> dict[str, Decimal]:
    return {one.label: one.credits for one in shown.new_grants}


@pytest.mark.fault("P22")
@pytest.mark.requirement("FLICK-09", "FLICK-12")
def test_an_upgrade_begins_a_new_period_whose_price_and_credits_are_in_proportion(
    starter: Subscription, account: Account, month: Callable[..., None]
) -> None:
    month(days=15)  # half of the period from 31 October to 30 November
    spend(account, 600)
    assert bonus(account) == 1000 - 400

    shown = change(account, "creator")

    assert shown.due_now == 1990 - 495
    assert arriving(shown) == {"Monthly bonus": 3000 - 500, "Daily refresh": 500 - 200}
    assert bonus(account) == 600 + 2500
    starter.refresh_from_db()
    assert starter.period_start == starter.anchor_at == timezone.now()
    assert Purchase.objects.get(origin="renewal").amount == shown.due_now
    month(days=29)
    assert bonus(account) == 600 + 2500
    month(days=1)  # 15 December
    assert bonus(account) == 3000


@pytest.mark.fault("P22")
def test_a_confirmation_minutes_after_the_preview_gives_exactly_what_was_shown(
    starter: Subscription, account: Account, month: Callable[..., None], clock: time_machine.Traveller
) -> None:
    month(days=10)
    shown = previews.preview(
        account, plan_key="creator", interval="month", currency="usd", now=timezone.now()
    )
    clock.shift(timedelta(minutes=20))
    changes.confirm(account, shown.token, timezone.now())

    assert Purchase.objects.get(origin="renewal").amount == shown.due_now
    assert bonus(account) == 1000 + arriving(shown)["Monthly bonus"]
    starter.refresh_from_db()
    assert starter.period_start == timezone.now()


@pytest.mark.fault("P22")
def test_credits_that_were_spent_before_an_upgrade_are_not_given_again(
    starter: Subscription, account: Account
) -> None:
    spend(account, 1200)  # the whole month's bonus within the first second

    change(account, "creator")

    assert bonus(account) == 3000 - 1000
    daily = [one for one in ledger.balance(account.pk, timezone.now()).grants if one.kind == "daily"]
    assert sum(one.remaining for one in daily) == 500 - 200


@pytest.mark.fault("P22")
def test_a_year_in_place_of_a_month_gives_no_second_bonus_for_the_month_that_is_credited(
    starter: Subscription, account: Account, month: Callable[..., None]
) -> None:
    month(days=3)
    spend(account, 1200)

    shown = change(account, "starter", "year")

    assert arriving(shown)["Monthly bonus"] == 1000 - 900
    assert shown.due_now == 9900 - 891
    assert bonus(account) == 100
    month(days=31)
    assert bonus(account) == 1000


@pytest.mark.fault("P22")
@pytest.mark.parametrize("seed", range(3))
def test_repeated_upgrades_and_downgrades_never_give_more_credits_than_were_paid_for(
    starter: Subscription, account: Account, month: Callable[..., None], seed: int
) -> None:
    random = Random(seed)
    for _month in range(4):
        hours = random.choice([1, 24, 300, 24 * 28 - 3])
        month(hours=hours)
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
        month(seconds=int((starter.period_end - timezone.now()).total_seconds()) + 7200)
        starter.refresh_from_db()
        assert starter.plan == "starter"

    given = Entry.objects.filter(account=account, kind="grant", grant__kind="bonus")
    paid = Purchase.objects.filter(kind="plan", status="paid").aggregate(paid=Sum("amount"))["paid"]
    # Studio has the lowest price of one credit: 10,000 for 49.90.
    assert given.aggregate(given=Sum("credits"))["given"] <= paid * Decimal(10_000) / 4990 + 1


@pytest.mark.fault("P22")
def test_credits_that_are_not_carried_over_count_as_returned(
    starter: Subscription, account: Account, month: Callable[..., None]
) -> None:
    Plan.objects.filter(key="creator").update(carry_over=False)
    month(days=15)
    spend(account, 200 + 700)

    shown = change(account, "creator")

    # Half of the 1,000 is unused time: 300 of it expire with the change, 200 were spent before their time.
    assert arriving(shown)["Monthly bonus"] == 3000 - 200
    assert bonus(account) == 2800


@pytest.mark.fault("P22")
def test_a_price_changed_at_stripe_within_the_period_gives_credits_for_the_rest_of_it(
    starter: Subscription, account: Account, month: Callable[..., None], stripe_api: Any
) -> None:
    month(days=15)
    price = stripe_sync.ensure_price(plan_key="creator", interval="month", currency="usd", amount=1990)
    stripe_api.subscriptions.update(
        starter.stripe_subscription_id,
        {
            "items": [{"id": starter.stripe_item_id, "price": price}],
            "proration_behavior": "always_invoice",
        },
    )
    month(seconds=0)

    starter.refresh_from_db()
    assert (starter.plan, Purchase.objects.get(origin="renewal").amount) == ("creator", 500)
    assert bonus(account) == 1000 + (3000 - 1000) / 2
    month(days=15, hours=2)  # 30 November: the period of 31 October ends as before
    assert bonus(account) == 3000
