"""Plans that Stripe lost end with their paid period."""

from collections.abc import Callable
from datetime import datetime

import pytest

from accounts.models import Account, User
from billing.models import Subscription
from billing.subscriptions import lost
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


def test_plans_that_stripe_lost_end_in_several_runs_when_they_are_many(
    subscribed: Callable[..., Subscription], bob: User, account_of: Callable[[User], Account]
) -> None:
    subscribed(paid_until=END, stripe_subscription_id=None)
    Subscription.objects.filter(account=account_of(bob)).update(paid_until=END, stripe_subscription_id=None)
    assert [lost.end_expired(END, limit=1) for _run in range(3)] == [1, 1, 0]
