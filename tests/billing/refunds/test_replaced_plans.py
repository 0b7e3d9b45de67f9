"""Claims to the payment of a plan that an upgrade has replaced take what was moved to the new plan."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Account
from billing import ledger
from billing.models import Dispute, Purchase
from pricing.models import Plan
from tests.billing.refunds.conftest import at_stripe, debt, of_plan, state
from tests.billing.subscriptions import conftest as subscriptions

pytestmark = [pytest.mark.django_db, pytest.mark.fault("P22", "P25")]
clock, advance = subscriptions.clock, subscriptions.advance


@pytest.mark.parametrize("carried", [False, True])
def test_a_dispute_of_the_replaced_plan_takes_the_credits_that_its_unused_time_gave(
    subscribe: Callable[..., Purchase],
    spend: Callable[[Decimal], None],
    account: Account,
    advance: Callable[..., None],
    bank: Callable[..., object],
    deliver: Callable[[], None],
    carried: bool,
) -> None:
    allowance = {"key": "month", "kind": "plan", "label": "Plan", "credits": "3000", "period": "month"}
    allowance |= {"lasts": "period", "services": None, "priority": None}
    Plan.objects.filter(key="creator").update(allowances=[allowance], carry_over=carried)
    purchase = subscribe()
    spend(Decimal(100))
    advance(days=15)
    subscriptions.change_plan(account, "creator")
    deliver()
    # Half of the 1,000 is unused time. It is deducted from the 3,000, or counts as returned.
    assert of_plan(account) == (3000 - 500 + 900 if carried else 3000)
    spend(of_plan(account))

    bank(purchase, "dispute")
    deliver()
    # The payment gave 10 and 100 that were spent, and 900 that were carried over, or 500 for the unused time.
    assert Dispute.objects.get().credits == 10 + 100 + (900 if carried else 500)
    assert ledger.audit.run(now=timezone.now()).findings == []

    bank(purchase, "win")
    deliver()
    assert debt(account) == 0


def test_a_refund_of_the_replaced_plan_leaves_the_plan_that_replaced_it(
    subscribe: Callable[..., Purchase],
    account: Account,
    stripe_api: Any,
    advance: Callable[..., None],
    deliver: Callable[[], None],
) -> None:
    purchase = subscribe()
    advance(days=15)
    subscriptions.change_plan(account, "creator")
    deliver()

    stripe_api.refunds.create({"payment_intent": purchase.stripe_payment_id})
    deliver()

    assert state(account) == ("creator", "active")
    assert at_stripe(stripe_api, purchase) == "active"
