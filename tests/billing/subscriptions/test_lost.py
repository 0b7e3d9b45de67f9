"""Plans that Stripe lost end with their paid period."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from accounts.models import Account, User
from billing import stripe_gateway
from billing.models import Subscription
from billing.subscriptions import lost, stripe_sync
from tests.billing.subscriptions import test_terms as terms
from tests.billing.subscriptions.test_terms import END, TICK

pytestmark = pytest.mark.django_db
subscribed = terms.subscribed


@pytest.mark.parametrize(
    ("paid_until", "stripe_id", "ended"),
    [(END, None, True), (END + TICK, None, False), (END, "sub_1", False), (None, None, False)],
)
def test_a_plan_that_stripe_lost_ends_with_its_paid_period(
    subscribed: Callable[..., Subscription],
    paid_until: datetime | None,
    stripe_id: str | None,
    ended: bool,
) -> None:
    subscription = subscribed(paid_until=paid_until, stripe_subscription_id=stripe_id)
    assert lost.end_expired(END) == ended
    subscription.refresh_from_db()
    assert subscription.plan == ("free-trial" if ended else "starter")


@pytest.mark.parametrize(
    ("fields", "for_real", "kept"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"paid_until": END - TICK}, True, False),
        ({"paid_until": None}, True, False),
        ({"state": "past_due"}, True, False),  # its payment was refunded or disputed
    ],
)
def test_a_plan_that_stripe_lost_stays_for_the_time_that_is_paid_with_real_money(
    subscribed: Callable[..., Subscription],
    monkeypatch: pytest.MonkeyPatch,
    fields: dict[str, Any],
    for_real: bool,
    kept: bool,
) -> None:
    def is_missing(*_: Any) -> None:
        raise stripe_gateway.ResourceMissing("no such subscription")

    monkeypatch.setattr(stripe_sync, "synchronize", is_missing)
    subscription = subscribed(next_plan="creator", **fields)
    lost.synchronize(subscription, END - TICK, paid_for_real=for_real)
    subscription.refresh_from_db()
    assert subscription.plan == ("starter" if kept else "free-trial")
    assert (subscription.stripe_subscription_id, subscription.next_plan) == (None, "")
    assert subscription.cancel_at_period_end == kept


def test_plans_that_stripe_lost_end_in_several_runs_when_they_are_many(
    subscribed: Callable[..., Subscription], bob: User, account_of: Callable[[User], Account]
) -> None:
    subscribed(paid_until=END, stripe_subscription_id=None)
    Subscription.objects.filter(account=account_of(bob)).update(paid_until=END, stripe_subscription_id=None)
    assert [lost.end_expired(END, limit=1) for _run in range(3)] == [1, 1, 0]
