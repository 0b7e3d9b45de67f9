"""A withdrawn plan payment takes back what it left in the customer's credit balance at Stripe."""

from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Account, User
from billing import stripe_gateway
from billing.models import Purchase, Subscription, WithdrawnPlanPayment
from billing.refunds import credit_balances, plan_payments
from billing.subscriptions import changes, previews
from tests.billing.conftest import change_policies
from tests.billing.subscriptions import conftest as subscriptions

pytestmark = [pytest.mark.django_db, pytest.mark.fault("P22", "P25")]
clock, advance = subscriptions.clock, subscriptions.advance
YEAR, MONTH = 9900, 990
LEFT = 7920 - MONTH  # of a fifth of a year, after the first month


@pytest.fixture
def customer(clock: Any, stripe_api: Any, account: Account, alice: User) -> str:
    """Alice's customer at Stripe; she pays Starter by the year."""
    subscription = subscriptions.buy_starter(account, alice, "year")
    return str(stripe_api.subscriptions.retrieve(subscription.stripe_subscription_id).customer)


@pytest.fixture
def balance(stripe_api: Any, customer: str) -> Callable[[], int]:
    return lambda: int(stripe_api.customers.retrieve(customer).balance)


@pytest.fixture
def switch(account: Account) -> Callable[[str], Purchase]:
    """Change the interval: `switch("month")`. Returns the newest payment."""

    def change(interval: str) -> Purchase:
        now = timezone.now()
        plan = Subscription.objects.get(account=account).plan
        preview = previews.preview(account, plan_key=plan, interval=interval, currency="usd", now=now)
        changes.confirm(account, preview.token, now)
        return Purchase.objects.order_by("-created_at")[0]

    return change


def test_a_disputed_year_pays_no_later_months_and_does_again_when_the_dispute_is_won(
    balance: Callable[[], int],
    switch: Callable[[str], Purchase],
    advance: Callable[..., None],
    bank: Callable[..., Any],
    deliver: Callable[[], None],
) -> None:
    advance(days=73)
    purchase = switch("month")
    assert balance() == -LEFT
    for actions, left in ((["dispute"], 0), (["win"], -LEFT), (["reverse"], 0)):
        bank(purchase, *actions)
        deliver()
        assert balance() == left, actions


@pytest.mark.parametrize("policy", ["cancel", "past_due"])
def test_a_refunded_year_pays_no_later_months_whatever_becomes_of_the_plan(
    balance: Callable[[], int],
    switch: Callable[[str], Purchase],
    advance: Callable[..., None],
    stripe_api: Any,
    deliver: Callable[[], None],
    policy: str,
) -> None:
    change_policies(plan_dispute=policy)
    advance(days=73)
    purchase = switch("month")
    stripe_api.refunds.create({"payment_intent": purchase.stripe_payment_id})
    deliver()
    assert balance() == 0


def test_months_that_the_balance_has_paid_since_are_owed(
    balance: Callable[[], int],
    switch: Callable[[str], Purchase],
    advance: Callable[..., None],
    bank: Callable[..., Any],
    deliver: Callable[[], None],
) -> None:
    advance(days=73)
    purchase = switch("month")
    advance(days=31, hours=2)
    assert balance() == MONTH - LEFT
    bank(purchase, "dispute")
    deliver()
    assert balance() == MONTH


def test_each_payment_takes_what_it_left_itself(
    balance: Callable[[], int],
    switch: Callable[[str], Purchase],
    advance: Callable[..., None],
    bank: Callable[..., Any],
    deliver: Callable[[], None],
) -> None:
    """Year, month, year again, which the balance and the card pay, and month again."""
    advance(days=73)
    first = switch("month")
    second = switch("year")
    assert (second.amount, second.balance_used) == (YEAR - LEFT - MONTH, LEFT)
    switch("month")
    assert balance() == MONTH - YEAR

    bank(second, "dispute")
    deliver()
    assert balance() == 0
    bank(first, "dispute")
    deliver()
    assert balance() == LEFT, "which paid the second year"
    bank(second, "win")
    deliver()
    assert balance() == MONTH - YEAR + LEFT


def test_a_payment_whose_unused_time_paid_a_larger_plan_takes_what_that_one_left(
    balance: Callable[[], int],
    account: Account,
    switch: Callable[[str], Purchase],
    bank: Callable[..., Any],
    advance: Callable[..., None],
    deliver: Callable[[], None],
) -> None:
    first = Purchase.objects.get(account=account)
    advance(days=73)
    subscriptions.change_plan(account, "creator", "year")
    second = Purchase.objects.order_by("-created_at")[0]
    assert second.amount == 19900 - 7920
    switch("month")
    left = 19900 - 1990
    assert balance() == -left

    bank(first, "dispute")
    deliver()
    assert balance() == -left + 7920
    bank(second, "dispute")
    deliver()
    assert balance() == 0, "both together take no more than was left"


def test_a_payment_that_left_nothing_takes_nothing(
    balance: Callable[[], int],
    stripe_api: Any,
    customer: str,
    bank: Callable[..., Any],
    deliver: Callable[[], None],
) -> None:
    stripe_api.customers.update(customer, {"balance": -500})  # a gift of staff
    bank(Purchase.objects.get(kind="plan"), "dispute")
    deliver()
    assert balance() == -500


@pytest.mark.fault("P6")
def test_a_repeated_step_takes_nothing_twice(
    balance: Callable[[], int],
    switch: Callable[[str], Purchase],
    advance: Callable[..., None],
    stripe_api: Any,
    customer: str,
    bank: Callable[..., Any],
    deliver: Callable[[], None],
) -> None:
    advance(days=73)
    purchase = switch("month")
    bank(purchase, "dispute")
    deliver()
    advance(days=2)  # Stripe has pruned the idempotency key
    WithdrawnPlanPayment.objects.update(due=True)  # the process died before it recorded the end
    assert plan_payments.bring_subscriptions_in_line(timezone.now()) == 1
    assert balance() == 0
    taken = stripe_api.customers.balance_transactions.list(customer).data[0]
    assert (taken.amount, taken.type, taken.metadata["purchase"]) == (LEFT, "adjustment", purchase.public_id)


def test_the_balance_of_a_deleted_customer_is_gone(
    switch: Callable[[str], Purchase], advance: Callable[..., None], stripe_api: Any, customer: str
) -> None:
    advance(days=73)
    purchase = switch("month")
    purchase.refresh_from_db()
    stripe_api.customers.delete(customer)
    credit_balances.bring_in_line(purchase, purchase.stripe_subscription_id, withdrawn=True)
    assert stripe_gateway.retrieve_customer(customer) is None
