"""The tax of plans and their renewals, and a customer's credit balance that pays them."""

from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Account, User
from billing.models import BillingProfile, Purchase, Subscription
from billing.purchases import checkout, create
from billing.subscriptions import changes, previews
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


@pytest.mark.parametrize("behavior", ["exclusive", "inclusive"])
def test_an_upgrade_is_paid_with_tax_as_its_preview_says(
    behavior: str, plan_page: Callable[[], Purchase], advance: Callable[..., None], account: Account
) -> None:
    tax(behavior)
    Buyer().pay(plan_page().checkout_url, country="DE", tax_id="")
    advance(days=10)
    now = timezone.now()
    preview = previews.preview(account, plan_key="creator", interval="", currency="usd", now=now)

    changes.confirm(account, preview.token, now)
    advance(seconds=1)

    upgrade = Purchase.objects.get(origin="renewal")
    assert (upgrade.status, upgrade.offer) == ("paid", "creator"), upgrade.error
    assert upgrade.total == preview.due_now
    assert (upgrade.total, upgrade.tax) == pytest.approx(expected(upgrade.price, behavior, 19), abs=1)
    assert Subscription.objects.get().plan == "creator"


def test_a_downgrade_keeps_the_tax_behavior_of_the_price(
    plan_page: Callable[[], Purchase], advance: Callable[..., None], account: Account, stripe_api: Any
) -> None:
    tax("exclusive")
    Buyer().pay(plan_page().checkout_url, country="GB", tax_id="")
    advance(days=1)
    for plan in ("creator", "starter"):
        now = timezone.now()
        preview = previews.preview(account, plan_key=plan, interval="", currency="usd", now=now)
        changes.confirm(account, preview.token, now)
        advance(days=1)
    advance(days=31)
    advance(hours=2)

    subscription = Subscription.objects.get()
    assert subscription.plan == "starter"
    last = Purchase.objects.order_by("-created_at").first()
    assert last is not None
    assert (last.status, last.offer, last.amount) == ("paid", "starter", expected(990, "exclusive", 20)[0])
