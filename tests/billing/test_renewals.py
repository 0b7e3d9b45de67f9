"""A paid plan through the months, as Stripe bills it: the clock and the sandbox move, events arrive."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import time_machine
from django.utils import timezone

from accounts.models import Account, User
from billing import ledger, selectors
from billing.models import Mail, Purchase, StripeEvent, Subscription
from billing.payments import cards
from billing.purchases import checkout, create
from billing.subscriptions import changes, previews
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
    clock: time_machine.Traveller, events: Callable[..., Any], tell: Callable[..., StripeEvent]
) -> Callable[..., None]:
    """Let time pass at Stripe and here, and everything that it has to tell arrive."""

    def pass_by(**span: Any) -> None:
        clock.shift(timedelta(**span))
        scheduled_actions.happen(timezone.now())
        selectors._terms.clear()
        for event in events():
            tell(event)

    return pass_by


@pytest.fixture
def starter(clock: time_machine.Traveller, stripe_world: Any, account: Account, alice: User) -> Subscription:
    """Alice subscribed to Starter on 31 October."""
    return _subscribe(account, alice, "month")


def _subscribe(account: Account, alice: User, interval: str) -> Subscription:
    order = create.order_plan(
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
    checkout.refresh(order, timezone.now())
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
    stripe_world: Any,
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
    starter: Subscription, account: Account, month: Callable[..., None], stripe_world: Any
) -> None:
    month(hours=1)
    customer = cards.customer_of(account)
    failing = stripe_world.payment_methods.attach("pm_card_chargeCustomerFail", {"customer": customer})
    stripe_world.customers.update(customer, {"invoice_settings": {"default_payment_method": failing.id}})
    stripe_world.subscriptions.update(starter.stripe_subscription_id, {"default_payment_method": failing.id})

    month(days=31)

    starter.refresh_from_db()
    assert starter.state == Subscription.State.PAST_DUE
    assert bonus(account) == 0
    assert starter.recovery_url
    assert Mail.objects.filter(template="payment_overdue").count() == 1

    good = stripe_world.payment_methods.attach("pm_card_visa", {"customer": customer})
    [invoice] = stripe_world.invoices.list({"status": "open", "customer": customer}).data
    stripe_world.invoices.pay(invoice.id, {"payment_method": good.id})
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
