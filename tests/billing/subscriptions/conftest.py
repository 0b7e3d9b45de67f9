"""Fixtures of the tests of subscriptions: a paid plan, events, changes of plan."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import time_machine
from django.utils import timezone

from accounts.models import Account, User
from billing import ledger
from billing.models import StripeEvent, Subscription
from billing.purchases import checkout, create
from billing.subscriptions import changes, plan_terms, previews
from sandbox import scheduled_actions, store
from tests.sandbox.conftest import Buyer


@pytest.fixture
def subscribe(stripe_api: Any, account: Account, alice: User) -> Callable[..., Subscription]:
    """Buy a plan, pay at Stripe and return: `subscribe("starter")`."""

    def to(plan: str = "starter", interval: str = "month", confirm: bool = False) -> Subscription:
        purchase = create.plan_purchase(
            account=account,
            buyer=alice,
            origin="page",
            plan_key=plan,
            interval=interval,
            currency="usd",
            confirm=confirm,
            key=f"plan-{plan}",
            now=timezone.now(),
        )
        url = checkout.open_page(purchase, timezone.now())
        Buyer().pay(url)
        checkout.refresh_from_stripe(purchase, timezone.now())
        return Subscription.objects.get(account=account)

    return to


def of_kind(account: Account, kind: str) -> Decimal:
    """The remaining credits of the account's grants of a kind."""
    grants = ledger.balance(account.pk, timezone.now()).grants
    return sum((grant.remaining for grant in grants if grant.kind == kind), Decimal(0))


def change_plan(account: Account, plan: str, interval: str = "") -> Subscription:
    """Preview a change of plan and confirm it."""
    now = timezone.now()
    preview = previews.preview(account, plan_key=plan, interval=interval, currency="usd", now=now)
    return changes.confirm(account, preview.token, now)


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    """A clock that the test moves; it starts on a 31st."""
    with time_machine.travel(datetime(2026, 10, 31, 12, tzinfo=UTC), tick=False) as traveller:
        yield traveller


@pytest.fixture
def advance(
    clock: time_machine.Traveller, process_all_events: Callable[[], list[StripeEvent]]
) -> Callable[..., None]:
    """Advance the clock, run what is due in the sandbox and process its events: `advance(days=31)`."""

    def advance_clock(**span: Any) -> None:
        clock.shift(timedelta(**span))
        scheduled_actions.run_due(timezone.now())
        plan_terms.forget_all()
        process_all_events()

    return advance_clock


@pytest.fixture
def starter(clock: time_machine.Traveller, stripe_api: Any, account: Account, alice: User) -> Subscription:
    """Alice subscribed to Starter on 31 October."""
    return buy_starter(account, alice, "month")


def buy_starter(account: Account, alice: User, interval: str) -> Subscription:
    purchase = create.plan_purchase(
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
    Buyer().pay(checkout.open_page(purchase, timezone.now()))
    checkout.refresh_from_stripe(purchase, timezone.now())
    return Subscription.objects.get(account=account)


def bonus(account: Account) -> Decimal:
    grants = ledger.balance(account.pk, timezone.now()).grants
    return sum((grant.remaining for grant in grants if grant.kind == "bonus"), Decimal(0))


@pytest.fixture
def use_card(stripe_api: Any) -> Callable[..., None]:
    """Pay a subscription by one of Stripe's test cards: `use_card(subscription, "chargeDeclined")`."""

    def use(subscription: Subscription, card: str) -> None:
        customer = stripe_api.subscriptions.retrieve(subscription.stripe_subscription_id).customer
        method = stripe_api.payment_methods.attach(f"pm_card_{card}", {"customer": customer})
        stripe_api.subscriptions.update(
            subscription.stripe_subscription_id, {"default_payment_method": method.id}
        )

    return use


def set_credit(stripe_subscription_id: str, balance: int) -> None:
    """Set the balance of a subscription's customer at Stripe: minor units, negative for a credit."""
    customer = store.get("customer", store.get("subscription", stripe_subscription_id)["customer"])
    store.save(customer | {"balance": balance})
