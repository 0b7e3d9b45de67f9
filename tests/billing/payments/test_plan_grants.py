"""The time whose grants belong to a plan's payment."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from billing.models import Purchase, SurplusSubscription, WithdrawnPlanPayment
from billing.payments import plan_grants
from tests.billing.refunds import test_states as states
from tests.billing.refunds.test_states import NOW

pytestmark = pytest.mark.django_db
clock, purchase = states.clock, states.purchase
DAY = timedelta(days=1)
MONTH, YEAR = datetime(2027, 9, 8, 12, tzinfo=UTC), datetime(2028, 8, 8, 12, tzinfo=UTC)
PLAN: dict[str, Any] = {"kind": "plan", "offer": "starter", "stripe_subscription_id": "sub_1"}


@pytest.mark.parametrize(
    ("fields", "start", "end"),
    [
        ({"interval": "month"}, NOW, MONTH),
        ({"interval": "year"}, NOW, YEAR),
        ({"interval": "month", "period_end": NOW + 9 * DAY}, NOW, NOW + 9 * DAY),
        ({"period_start": NOW - DAY, "interval": "month"}, NOW - DAY, MONTH - DAY),
        ({"period_start": NOW - DAY, "period_end": NOW + 9 * DAY}, NOW - DAY, NOW + 9 * DAY),
    ],
)
def test_a_payment_is_for_its_invoices_period_or_for_an_interval_from_the_payment(
    purchase: Callable[..., Purchase], fields: dict[str, Any], start: datetime, end: datetime
) -> None:
    assert plan_grants.paid_period(purchase(**PLAN | fields)) == (start, end)


def test_an_unpaid_or_a_surplus_payment_has_no_period(purchase: Callable[..., Purchase]) -> None:
    assert plan_grants.paid_period(purchase(**PLAN, status="pending", paid_at=None)) is None
    paid = purchase(2, **PLAN)
    assert plan_grants.paid_period(paid) is not None
    SurplusSubscription.objects.create(
        account=paid.account, stripe_subscription_id="sub_1", reason="second", created_at=NOW
    )
    assert plan_grants.paid_period(paid) is None


@pytest.mark.parametrize(
    ("other", "ends"),
    [
        ({"period_start": NOW + 5 * DAY}, NOW + 5 * DAY),
        ({"period_start": NOW + 40 * DAY}, MONTH),
        ({"period_start": NOW}, MONTH),
        ({"period_start": NOW - DAY}, MONTH),
        ({"period_start": NOW + 5 * DAY, "kind": "pack"}, MONTH),
        ({"period_start": NOW + 5 * DAY, "status": "pending"}, MONTH),
        ({"period_start": NOW + 5 * DAY, "stripe_subscription_id": "sub_surplus"}, MONTH),
        ({"period_start": NOW + 5 * DAY, "withdrawn": True}, MONTH),
        ({"period_start": NOW + 5 * DAY, "withdrawn": False}, NOW + 5 * DAY),
    ],
    ids=str,
)
def test_a_period_ends_where_the_next_paid_one_begins(
    purchase: Callable[..., Purchase], other: dict[str, Any], ends: datetime
) -> None:
    paid = purchase(**PLAN, period_start=NOW, period_end=MONTH)
    withdrawn = other.get("withdrawn")
    following = purchase(2, **PLAN | {name: other[name] for name in other if name != "withdrawn"})
    purchase(3, **PLAN, period_start=NOW + 20 * DAY, status="failed")
    SurplusSubscription.objects.create(
        account=paid.account,
        stripe_subscription_id="sub_surplus",
        reason="second",
        created_at=NOW,
    )
    if withdrawn is not None:
        WithdrawnPlanPayment.objects.create(
            purchase=following, withdrawn=withdrawn, due=False, changed_at=NOW
        )
    assert plan_grants.paid_period(paid) == (NOW, ends)
