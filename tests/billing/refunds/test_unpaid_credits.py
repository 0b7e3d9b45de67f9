"""Credits of an unpaid period that were deducted from a payment which is withdrawn later."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Account, User
from billing import ledger
from billing.models import Grant, Purchase, Subscription
from billing.validity import add_months
from tests.billing.conftest import change_policies
from tests.billing.subscriptions import conftest as subscriptions
from tests.billing.subscriptions import test_grace as grace
from tests.billing.subscriptions.conftest import bonus, buy_starter
from tests.billing.subscriptions.test_proration import spend

pytestmark = [pytest.mark.django_db, pytest.mark.fault("P21", "P25")]
clock, advance, starter = subscriptions.clock, subscriptions.advance, subscriptions.starter
to_renewal, failing_card = grace.to_renewal, grace.failing_card


@pytest.fixture
def second(
    starter: Subscription,
    account: Account,
    alice: User,
    to_renewal: Callable[..., None],
    failing_card: None,
    advance: Callable[..., None],
) -> Purchase:
    """The payment of a new subscription, after 900 credits of a month that was never paid."""
    to_renewal()
    spend(account, 200 + 900)
    advance(days=20)
    Purchase.objects.filter(idempotency_key="plan").update(idempotency_key="plan-before")
    buy_starter(account, alice, "month")
    return Purchase.objects.get(idempotency_key="plan")


@pytest.mark.parametrize("policy", ["cancel", "past_due"])
def test_what_was_deducted_is_owed_again_until_the_dispute_is_won(
    second: Purchase,
    account: Account,
    bank: Callable[..., Any],
    deliver: Callable[[], None],
    policy: str,
) -> None:
    change_policies(plan_dispute=policy)
    assert bonus(account) == 100
    for action, left, unpaid in (("dispute", 0, 900), ("win", 100, 0), ("reverse", 0, 900)):
        bank(second, action)
        deliver()
        assert (bonus(account), owed(account)) == (left, unpaid), action
    assert ledger.balance(account.pk, timezone.now()).debt == 0


def returned(account: Account) -> list[Decimal]:
    """What grants that are valid for a month have given back of deductions."""
    given = Grant.objects.filter(account=account, label="Credits deducted twice")
    assert all(grant.expires_at == add_months(grant.created_at, 1) for grant in given)
    return list(given.values_list("remaining", flat=True))


def owed(account: Account) -> Decimal:
    return Subscription.objects.get(account=account).unpaid_credits


def test_a_refunded_payment_owes_the_credits_to_the_next_subscription(
    second: Purchase,
    account: Account,
    alice: User,
    stripe_api: Any,
    advance: Callable[..., None],
    deliver: Callable[[], None],
) -> None:
    stripe_api.refunds.create({"payment_intent": second.stripe_payment_id})
    deliver()
    advance(days=1)
    Purchase.objects.filter(idempotency_key="plan").update(idempotency_key="plan-second")
    buy_starter(account, alice, "month")
    assert (bonus(account), owed(account)) == (100, 0)


def test_what_a_later_month_gave_less_is_given_back_when_the_dispute_is_won(
    second: Purchase,
    account: Account,
    alice: User,
    bank: Callable[..., Any],
    advance: Callable[..., None],
    deliver: Callable[[], None],
) -> None:
    bank(second, "dispute")
    deliver()
    advance(days=1)
    Purchase.objects.filter(idempotency_key="plan").update(idempotency_key="plan-second")
    buy_starter(account, alice, "month")
    assert (bonus(account), returned(account), owed(account)) == (100, [], 0)

    for action, unpaid in (("win", 0), ("reverse", 900), ("reverse", 0)):
        bank(second, action)
        deliver()
        assert (returned(account), owed(account)) == ([900], unpaid), action
