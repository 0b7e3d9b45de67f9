"""A process killed at each step of two paid plans: one stays, one is cancelled and refunded once."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Account
from billing.models import Mail, Purchase, Refund, Subscription, SurplusSubscription
from billing.purchases import checkout, create, plan_conflicts
from tests.billing import stripe_sandbox
from tests.billing.ledger.state import broken
from tests.integration.crashes.process import every_boundary
from tests.integration.crashes.test_payments import account_of, stripe_and_catalogue
from tests.sandbox.conftest import Buyer

__all__ = ["stripe_and_catalogue"]
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.fault("P24")]


def two_paid_plans(account: Account) -> list[Purchase]:
    purchases = []
    for plan in ("starter", "creator"):
        purchase = create.plan_purchase(
            account=account,
            buyer=account.person,
            origin="page",
            plan_key=plan,
            interval="month",
            currency="usd",
            confirm=True,
            key=plan,
            now=timezone.now(),
        )
        checkout.open_page(purchase, timezone.now())
        purchases.append(purchase)
    for purchase in purchases:
        Buyer().pay(purchase.checkout_url)
    return purchases


def return_from_stripe(purchases: list[Purchase]) -> None:
    """Both return pages, and the task that follows."""
    for purchase in purchases:
        checkout.refresh_from_stripe(Purchase.objects.get(pk=purchase.pk), timezone.now())
    plan_conflicts.carry_out(timezone.now())


def outcome(account: Account) -> dict[str, Any]:
    """The account's state here and at Stripe, without ids and times."""
    api = stripe_sandbox.api()
    purchases = Purchase.objects.filter(account=account).order_by("created_at")
    return {
        "plan": Subscription.objects.get(account=account).plan,
        "purchases": list(purchases.values_list("offer", "status", "amount", "refunded")),
        "refunds": list(Refund.objects.filter(account=account).values_list("status", "amount")),
        "surplus": SurplusSubscription.objects.filter(account=account).exclude(cancelled_at=None).count(),
        "at Stripe": [
            api.subscriptions.retrieve(purchase.stripe_subscription_id).status for purchase in purchases
        ],
        "refunds at Stripe": [
            [
                refund.amount
                for refund in api.refunds.list({"payment_intent": purchase.stripe_payment_id}).data
            ]
            for purchase in purchases
        ],
        "emails": Counter(Mail.objects.filter(account_id=account.pk).values_list("template", flat=True)),
    }


def test_two_paid_plans_killed_at_any_commit_are_one_plan_and_one_refund() -> None:
    def scenario(boundary: int) -> tuple[Callable[[], Any], Callable[[], None]]:
        account = account_of(f"two{boundary}")
        purchases = two_paid_plans(account)

        def check() -> None:
            return_from_stripe(purchases)
            assert broken([account.pk]) == []
            state = outcome(account)
            assert state["plan"] == "starter"
            assert state["purchases"] == [("starter", "paid", 990, 0), ("creator", "paid", 1990, 1990)]
            assert [amount for _status, amount in state["refunds"]] == [1990]
            assert state["at Stripe"] == ["active", "canceled"]
            assert state["refunds at Stripe"] == [[], [1990]]
            assert state["surplus"] == 1
            assert state["emails"]["second_plan_refunded"] == 1
            stripe_sandbox.forget_applied_objects()

        return lambda: return_from_stripe(purchases), check

    assert every_boundary(scenario) >= 5
