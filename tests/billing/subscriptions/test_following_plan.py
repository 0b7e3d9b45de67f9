"""The plan that begins after the paid period: which it is, when, and from when its months are counted."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from billing.models import Subscription
from billing.subscriptions import following_plan
from tests.billing.subscriptions import test_terms as terms
from tests.billing.subscriptions.test_terms import END, START, TICK

pytestmark = pytest.mark.django_db
subscribed = terms.subscribed
PAUSED_UNTIL = datetime(2027, 3, 31, tzinfo=UTC)  # half a day before the first month to be paid


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, None),
        ({"cancel_at_period_end": True, "next_plan": "creator"}, ("free-trial", END, END)),
        ({"cancel_at_period_end": True, "state": "past_due"}, ("free-trial", END, END)),
        ({"next_plan": "creator"}, ("creator", END, START)),
        ({"next_plan": "creator", "state": "past_due"}, None),
        ({"next_plan": "creator", "period_end": END + TICK}, ("creator", END + TICK, END + TICK)),
        (
            {"pause_behavior": "void", "paused_until": PAUSED_UNTIL},
            ("starter", PAUSED_UNTIL.replace(hour=12), START),
        ),
        ({"next_plan": "creator", "stripe_subscription_id": None}, None),
    ],
)
def test_what_follows_a_plan_and_from_when_its_months_are_counted(
    subscribed: Callable[..., Subscription],
    fields: dict[str, Any],
    expected: tuple[str, datetime, datetime] | None,
) -> None:
    subscription = subscribed(**fields)
    found = following_plan.of(subscription, END - TICK)
    assert (found and (found.plan.key, found.at)) == (expected and expected[:2])
    assert {one.anchor_at for one in (found.terms if found else [])} == ({expected[2]} if expected else set())
    assert following_plan.of(subscription, subscription.period_end or END) is None
