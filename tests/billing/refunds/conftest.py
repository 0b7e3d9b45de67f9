"""The bank, in the sandbox: disputes of a purchase's payment; a plan and its credits."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
import time_machine
from django.test import Client
from django.utils import timezone

from accounts.models import Account, User
from billing import ledger
from billing.models import Purchase, StripeEvent, Subscription
from billing.subscriptions import plan_terms
from pricing.models import Plan
from tests.billing.subscriptions import conftest as subscriptions

MONTHLY = Decimal(1000)


@pytest.fixture
def bank(stripe_api: Any, client: Client) -> Callable[..., Any]:
    """Perform actions on a payment's newest dispute: `bank(purchase, "dispute", "win")`. Returns it.

    The actions that open a dispute are dispute, dispute_part, inquire, block and resolve.
    """
    opening = {"dispute", "dispute_part", "inquire", "block", "resolve"}

    def act(purchase: Purchase, *actions: str) -> Any:
        purchase.refresh_from_db()
        about = {"payment_intent": purchase.stripe_payment_id}
        for action in actions:
            charge = stripe_api.payment_intents.retrieve(purchase.stripe_payment_id).latest_charge
            target = charge if action in opening else stripe_api.disputes.list(about).data[0].id
            response = client.post(f"/sandbox/objects/{target}/act", {"action": action})
            assert "notice" not in response.headers["Location"], response.headers["Location"]
        return stripe_api.disputes.list(about).data[0]

    return act


@pytest.fixture
def deliver(
    events: Callable[..., list[dict[str, Any]]], process_event: Callable[..., StripeEvent]
) -> Callable[[], None]:
    """Process all events of Stripe that were not processed before."""
    delivered: set[str] = set()

    def process() -> None:
        for event in events():
            if event["id"] not in delivered:
                delivered.add(event["id"])
                stored = process_event(event)
                assert stored.state in {"done", "ignored"}, stored.error

    return process


@pytest.fixture
def subscribe(
    clock: time_machine.Traveller,
    stripe_api: Any,
    account: Account,
    alice: User,
    deliver: Callable[[], None],
) -> Callable[..., Purchase]:
    """Alice subscribes to Starter, whose allowances are 1,000 a month and 10 a day. Returns the payment."""
    allowances: list[dict[str, Any]] = [
        {"key": "month", "kind": "plan", "label": "Plan", "credits": "1000", "period": "month"},
        {"key": "day", "kind": "daily", "label": "Daily", "credits": "10", "period": "day"},
    ]
    for allowance in allowances:
        allowance |= {"lasts": "period", "services": None, "priority": None}
    Plan.objects.filter(key="starter").update(allowances=allowances)

    def begin(interval: str = "month") -> Purchase:
        subscriptions.buy_starter(account, alice, interval)
        deliver()
        return Purchase.objects.get(kind="plan")

    return begin


@pytest.fixture
def spend(account: Account) -> Callable[[Decimal], Any]:
    """Spend credits of the plan's month; daily and other credits that come first are used up."""

    def charge(credits: Decimal) -> None:
        now = timezone.now()
        grants = ledger.balance(account.pk, now).grants
        first = sum((grant.remaining for grant in grants if grant.kind == "daily"), Decimal(0))
        request = ledger.ChargeRequest(
            account_id=account.pk, credits=first + credits, key=f"use-{now}", service="gpt-4o"
        )
        ledger.charge(request, now)

    return charge


def of_plan(account: Account) -> Decimal:
    return subscriptions.of_kind(account, "plan")


def debt(account: Account) -> Decimal:
    return ledger.balance(account.pk, timezone.now()).debt


def state(account: Account) -> tuple[str, str]:
    plan_terms.forget_all()
    subscription = Subscription.objects.get(account=account)
    return subscription.plan, subscription.state


def at_stripe(stripe_api: Any, purchase: Purchase) -> str:
    return str(stripe_api.subscriptions.retrieve(purchase.stripe_subscription_id).status)
