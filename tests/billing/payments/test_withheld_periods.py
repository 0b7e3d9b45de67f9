"""Which periods of a plan give no credits, because their payment has left."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from accounts.models import Account, User
from billing.models import Purchase, SurplusSubscription, WithdrawnPlanPayment
from billing.payments.withheld_periods import is_withheld
from tests.billing.refunds import test_states as states
from tests.billing.refunds.test_states import NOW

pytestmark = pytest.mark.django_db
clock, purchase = states.clock, states.purchase
MONTH, TICK = datetime(2027, 9, 8, 12, tzinfo=UTC), timedelta(microseconds=1)
PLAN: dict[str, Any] = {"kind": "plan", "offer": "starter", "period_start": NOW, "period_end": MONTH}


@pytest.mark.fault("P25")
@pytest.mark.parametrize(
    ("fields", "asked", "at", "withheld"),
    [
        ({"stripe_subscription_id": "sub_1"}, "sub_1", NOW - TICK, False),
        ({"stripe_subscription_id": "sub_1"}, "sub_1", NOW, True),
        ({"stripe_subscription_id": "sub_1"}, "sub_1", MONTH - TICK, True),
        ({"stripe_subscription_id": "sub_1"}, "sub_1", MONTH, False),
        ({"stripe_subscription_id": "sub_1"}, "sub_2", NOW, False),
        ({"stripe_subscription_id": ""}, "sub_2", NOW, True),  # recorded before purchases had the id
        ({"stripe_subscription_id": "sub_1", "withdrawn": False}, "sub_1", NOW, False),
        ({"stripe_subscription_id": "sub_1", "surplus": True}, "sub_1", NOW, False),
    ],
)
def test_the_period_of_a_withdrawn_payment_is_withheld(
    purchase: Callable[..., Purchase],
    account: Account,
    bob: User,
    fields: dict[str, Any],
    asked: str,
    at: datetime,
    withheld: bool,
) -> None:
    fields = dict(fields)
    withdrawn, surplus = fields.pop("withdrawn", True), fields.pop("surplus", False)
    if surplus:
        SurplusSubscription.objects.create(
            account=account, stripe_subscription_id="sub_1", reason="second", created_at=NOW
        )
    row = {"purchase": purchase(**PLAN | fields), "withdrawn": withdrawn, "due": False, "changed_at": NOW}
    WithdrawnPlanPayment.objects.create(**row)
    assert is_withheld(account.pk, asked, at) == withheld
    assert not is_withheld(Account.objects.get(person=bob).pk, asked, at)
