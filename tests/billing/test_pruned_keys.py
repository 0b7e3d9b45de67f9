"""A process dies after a request to Stripe and returns when Stripe has pruned the idempotency key.

Nothing is created, charged or refunded a second time (https://docs.stripe.com/api/idempotent_requests).
"""

from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
import time_machine
from django.utils import timezone

from accounts.models import Account
from billing import stripe_gateway
from billing.models import AutoTopUp, BillingProfile, Purchase, Refund, StripePrice
from billing.payments import customers
from billing.purchases import auto_top_up, checkout
from billing.refunds import requests
from billing.subscriptions import prices
from core.ids import new_id
from sandbox import store, switches
from sandbox.switches import Fault
from tests.billing import stripe_sandbox
from tests.billing.conftest import smallest_pack

pytestmark = [pytest.mark.django_db, pytest.mark.fault("P17")]


@pytest.fixture
def clock() -> Iterator[Any]:
    with time_machine.travel(timezone.now(), tick=False) as travelled:
        yield travelled


@pytest.fixture
def dies(stripe_api: Any) -> Callable[[], None]:
    """The next request to Stripe that creates something has its effect, and its response is lost."""
    return lambda: switches.turn(Fault.ANSWERS_LOST, remaining=1)


@pytest.fixture
def top_up(stripe_api: Any, account: Account) -> AutoTopUp:
    """Alice's automatic top-up with a saved card and credits below its threshold."""
    stripe_sandbox.save_card(account)
    return AutoTopUp.objects.create(
        account=account,
        enabled=True,
        below=Decimal(500),
        pack=smallest_pack(),
        currency="usd",
        monthly_amount=100_000,
        monthly_count=3,
    )


def test_an_automatic_payment_is_not_made_twice(
    clock: Any, dies: Callable[[], None], top_up: AutoTopUp
) -> None:
    dies()
    assert auto_top_up.buy_if_low(top_up.pk, timezone.now()) == "unreachable"

    clock.shift(timedelta(days=3))
    assert auto_top_up.buy_if_low(top_up.pk, timezone.now()) == "paid"

    assert [intent["status"] for intent in store.where("payment_intent")] == ["succeeded"]
    assert Purchase.objects.get().status == "paid"


def test_a_declined_automatic_payment_is_not_tried_again(
    clock: Any, dies: Callable[[], None], top_up: AutoTopUp
) -> None:
    switches.turn(Fault.CARDS_FAIL, remaining=1)
    dies()
    assert auto_top_up.buy_if_low(top_up.pk, timezone.now()) == "unreachable"

    clock.shift(timedelta(days=3))
    auto_top_up.buy_if_low(top_up.pk, timezone.now())

    assert Purchase.objects.get().status == "failed"
    assert len(store.where("charge")) == 1
    top_up.refresh_from_db()
    assert top_up.failures == 1


def test_an_automatic_payment_that_never_reached_stripe_is_decided_anew(
    clock: Any, top_up: AutoTopUp
) -> None:
    switches.turn(Fault.DOWN, remaining=1)
    assert auto_top_up.buy_if_low(top_up.pk, timezone.now()) == "unreachable"
    pay_something_else(top_up)

    clock.shift(timedelta(days=3))
    auto_top_up.buy_if_low(top_up.pk, timezone.now())
    assert Purchase.objects.get().status == "cancelled"
    assert auto_top_up.buy_if_low(top_up.pk, timezone.now() + timedelta(minutes=1)) == "paid"

    assert len(store.where("charge")) == 2


def pay_something_else(top_up: AutoTopUp) -> None:
    """Another payment of the account with the same card."""
    profile = BillingProfile.objects.get(pk=top_up.pk)
    metadata = {"account": top_up.account.public_id, "purchase": Purchase.public_id_of(new_id())}
    params = {"amount": 500, "currency": "usd", "customer": profile.stripe_customer_id}
    params |= {"payment_method": profile.card_id, "metadata": metadata}
    stripe_gateway.create_off_session_payment(key="other", params=params)


def test_an_automatic_payment_whose_server_error_stripe_repeats_is_decided_anew(
    clock: Any, top_up: AutoTopUp
) -> None:
    switches.turn(Fault.FAILS, remaining=1)
    for _ in range(3):
        assert auto_top_up.buy_if_low(top_up.pk, timezone.now()) == "unreachable"
        clock.shift(timedelta(hours=7))
    clock.shift(timedelta(hours=7))
    auto_top_up.buy_if_low(top_up.pk, timezone.now())
    assert auto_top_up.buy_if_low(top_up.pk, timezone.now() + timedelta(minutes=1)) == "paid"

    assert len(store.where("charge")) == 1


def test_a_refund_is_not_made_twice(
    clock: Any, dies: Callable[[], None], refund_window: None, paid_purchase: Callable[..., Purchase]
) -> None:
    purchase = paid_purchase()
    refund = requests.create(purchase=purchase, user=None, message="", now=timezone.now())
    Purchase.objects.filter(pk=purchase.pk).update(credits=purchase.credits * 3)  # a third is refunded
    dies()
    refund = requests.approve(refund, actor="staff", reason="", now=timezone.now())
    assert refund.status == Refund.Status.APPROVED

    clock.shift(timedelta(days=3))
    requests.send_approved(timezone.now())

    assert [item["amount"] for item in store.where("refund")] == [refund.amount]
    refund.refresh_from_db()
    assert refund.status == Refund.Status.DONE


def test_an_account_gets_one_customer(clock: Any, dies: Callable[[], None], account: Account) -> None:
    dies()
    with pytest.raises(stripe_gateway.StripeUnavailable):
        customers.ensure_customer(account)

    clock.shift(timedelta(days=3))
    account.name = "Renamed"
    customer = customers.ensure_customer(account)

    assert [body["id"] for body in store.where("customer")] == [customer]
    assert BillingProfile.objects.get(account=account).stripe_customer_id == customer


def test_a_plan_gets_one_price(clock: Any, dies: Callable[[], None], catalogue: None) -> None:
    terms: dict[str, Any] = {"plan_key": "creator", "interval": "month", "currency": "usd", "amount": 1234}
    dies()
    with pytest.raises(stripe_gateway.StripeUnavailable):
        prices.ensure_price(**terms)

    clock.shift(timedelta(days=3))
    price = prices.ensure_price(**terms)

    assert [body["id"] for body in store.where("price")] == [price]
    assert prices.ensure_price(**terms | {"interval": "year"}) != price
    assert StripePrice.objects.filter(**terms).get().stripe_price_id == price


def test_a_purchase_gets_one_payment_page(
    clock: Any, dies: Callable[[], None], new_purchase: Callable[..., Purchase], account: Account, pay: Any
) -> None:
    customers.ensure_customer(account)
    dies()
    with pytest.raises(stripe_gateway.StripeUnavailable):
        new_purchase()
    purchase = Purchase.objects.get()
    pay(Purchase(checkout_url=store.where("checkout.session")[0]["url"]))

    clock.shift(timedelta(days=3))
    checkout.open_page(purchase, timezone.now())

    purchase.refresh_from_db()
    assert len(store.where("checkout.session")) == 1
    assert purchase.status == "paid"
