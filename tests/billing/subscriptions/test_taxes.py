"""The tax of plans and their renewals, and a customer's credit balance that pays them."""

from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Account, User
from billing.models import BillingProfile, Purchase, Subscription
from billing.purchases import checkout, create
from tests.billing.payments.test_taxes import expected, tax
from tests.sandbox.conftest import Buyer

pytestmark = pytest.mark.django_db


@pytest.fixture
def plan_page(stripe_api: Any, account: Account, alice: User) -> Callable[[], Purchase]:
    def begin() -> Purchase:
        purchase = create.plan_purchase(
            account=account,
            buyer=alice,
            origin="page",
            plan_key="starter",
            interval="month",
            currency="usd",
            confirm=True,
            key="plan",
            now=timezone.now(),
        )
        checkout.open_page(purchase, timezone.now())
        return purchase

    return begin


@pytest.mark.parametrize("behavior", ["exclusive", "inclusive"])
def test_a_plan_and_its_renewals_are_paid_with_tax(
    behavior: str, plan_page: Callable[[], Purchase], advance: Callable[..., None]
) -> None:
    tax(behavior)
    purchase = plan_page()
    price = purchase.amount
    Buyer().pay(purchase.checkout_url, country="DE", tax_id="")
    advance(seconds=1)
    first = Purchase.objects.get()
    assert (first.amount, first.tax, first.country) == (*expected(price, behavior, 19), "DE")

    advance(days=31)
    advance(hours=2)

    renewal = Purchase.objects.get(origin="renewal")
    assert renewal.status == "paid", renewal.error
    assert (renewal.amount, renewal.tax, renewal.price) == (*expected(price, behavior, 19), price)
    subscription = Subscription.objects.get()
    assert (subscription.plan, subscription.amount) == ("starter", price)


@pytest.mark.parametrize("credit", [300, 10**6])
def test_a_customers_credit_balance_pays_part_or_all_of_a_plan(
    stripe_api: Any, plan_page: Callable[[], Purchase], advance: Callable[..., None], credit: int
) -> None:
    purchase = plan_page()
    Buyer().pay(purchase.checkout_url)
    advance(seconds=1)
    customer = BillingProfile.objects.get().stripe_customer_id
    stripe_api.customers.update(customer, {"balance": -credit})

    advance(days=31)
    advance(hours=2)

    renewal = Purchase.objects.get(origin="renewal")
    used = min(credit, purchase.amount)
    assert (renewal.status, renewal.amount) == ("paid", purchase.amount - used)
    assert (renewal.balance_used, renewal.price) == (used, purchase.amount)
    subscription = Subscription.objects.get()
    assert subscription.state == "active" and subscription.paid_until == subscription.period_end
