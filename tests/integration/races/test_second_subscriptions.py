"""Two plans of an account are paid at once; return pages, events and tasks run at the same time."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Account
from billing.models import Mail, Purchase, Refund, StripeEvent, Subscription, SurplusSubscription
from billing.purchases import checkout, create, plan_conflicts
from billing.subscriptions import stripe_sync
from billing.webhooks import events as stripe_events
from tests.billing import stripe_sandbox
from tests.integration.races.test_payments import account, at_once
from tests.sandbox.conftest import Buyer

__all__ = ["account"]
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.fault("P24")]


def plan_page(account: Account, plan: str) -> Purchase:
    purchase = create.plan_purchase(
        account=account,
        buyer=None,
        origin="page",
        plan_key=plan,
        interval="month",
        currency="usd",
        confirm=True,
        key=plan,
        now=timezone.now(),
    )
    checkout.open_page(purchase, timezone.now())
    return purchase


def all_events() -> list[dict[str, Any]]:
    return [stripe_sandbox.plain(event) for event in stripe_sandbox.api().events.list({"limit": 100}).data]


@pytest.mark.parametrize("by", ["return pages", "events"])
def test_of_two_plans_paid_at_once_one_stays_and_one_is_refunded(account: Account, by: str) -> None:
    purchases = [plan_page(account, "starter"), plan_page(account, "creator")]
    at_once(2, lambda number: Buyer().pay(purchases[number].checkout_url))
    events = [
        event for event in all_events() if event["type"].startswith(("checkout", "invoice", "customer"))
    ]

    def apply(number: int) -> None:
        if by == "return pages":
            checkout.refresh_from_stripe(purchases[number % 2], timezone.now())
            plan_conflicts.carry_out(timezone.now())
        else:
            for event in events[number::2] + events[1 - number :: 2]:
                stored = stripe_events.store(event, timezone.now(), source="webhook")
                stripe_events.process(stored.pk, timezone.now())

    errors = [error for error in at_once(2, apply) if error is not None]
    assert all(isinstance(error, stripe_sync.StaleSnapshot) for error in errors)
    for purchase in purchases:
        purchase.refresh_from_db()
        checkout.refresh_from_stripe(purchase, timezone.now())
    stripe_events.process_waiting(timezone.now() + timedelta(hours=1))
    plan_conflicts.carry_out(timezone.now())

    subscription = Subscription.objects.get(account=account)
    winner, loser = sorted(
        Purchase.objects.filter(account=account), key=lambda purchase: purchase.offer != subscription.plan
    )
    assert (winner.status, winner.refunded) == ("paid", 0)
    assert (loser.status, loser.refunded) == ("paid", loser.amount)
    api = stripe_sandbox.api()
    assert api.subscriptions.retrieve(winner.stripe_subscription_id).status == "active"
    assert api.subscriptions.retrieve(loser.stripe_subscription_id).status == "canceled"
    assert [refund.amount for refund in api.refunds.list().data] == [loser.amount]
    assert Refund.objects.count() == SurplusSubscription.objects.count() == 1
    assert Mail.objects.filter(template="second_plan_refunded").count() == 1
    assert not StripeEvent.objects.filter(state="quarantined").exists()
