"""What a retrieved subscription changes, and what applying it once more leaves as it is."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Account
from billing import stripe_gateway
from billing.models import StripePrice, Subscription
from billing.subscriptions import previews, prices, stripe_sync
from sandbox import store
from tests.billing.subscriptions.conftest import bonus, change_plan

pytestmark = pytest.mark.django_db
START = datetime(2026, 10, 31, 12, tzinfo=UTC)
CHANGED = START + timedelta(days=15)
END = START + timedelta(days=30)


def second(at: datetime) -> int:
    return int(at.timestamp())


def test_a_subscription_that_has_not_changed_keeps_its_version(
    starter: Subscription, account: Account, advance: Callable[..., None]
) -> None:
    advance(days=1)
    change_plan(account, "creator")
    change_plan(account, "starter")
    starter.refresh_from_db()
    assert starter.next_plan == "starter"

    stripe_sync.synchronize(str(starter.stripe_subscription_id), timezone.now())

    version = starter.version
    starter.refresh_from_db()
    assert starter.version == version, "a confirmation of the same state stays valid"


@pytest.mark.parametrize("downgraded", [False, True])
def test_only_a_scheduled_downgrade_needs_flexible_billing(
    starter: Subscription, account: Account, downgraded: bool
) -> None:
    change_plan(account, "creator")
    if downgraded:
        change_plan(account, "starter")
    remote = store.get("subscription", str(starter.stripe_subscription_id))
    store.save(remote | {"billing_mode": {"flexible": None, "type": "classic"}})

    previews.preview(account, plan_key="studio", interval="month", currency="usd", now=timezone.now())

    mode = stripe_gateway.retrieve_subscription(str(starter.stripe_subscription_id))["billing_mode"]["type"]
    assert mode == ("flexible" if downgraded else "classic")


@pytest.mark.fault("P22")
@pytest.mark.parametrize(
    ("prorated_at", "deducted"),
    [
        (f"{second(START)}:{second(START)}", "1000"),
        (f"{second(START + timedelta(days=12))}:{second(START)}", "600"),
        (f"{second(CHANGED)}:{second(START)}", "500"),
        (f"{second(START + timedelta(days=24))}:{second(START)}", "200"),
        (f"{second(END) - 1}:{second(START)}", "0.01"),
        # not of the current period: from the start of the new one
        (f"{second(END)}:{second(START)}", "500"),
        (f"{second(END) + 1}:{second(START)}", "500"),
        (f"{second(START + timedelta(days=12))}:{second(START) - 1}", "500"),
        (f"{second(START + timedelta(days=12))}:{second(START) + 1}", "500"),
        ("", "500"),
        # written before the period was stored
        (f"{second(START)}", "1000"),
        (f"{second(START + timedelta(days=12))}", "600"),
        (f"{second(START) - 1}", "500"),
        (f"{second(START + timedelta(days=24))}", "500"),
    ],
)
def test_credits_are_deducted_from_the_confirmed_second_of_the_current_period(
    starter: Subscription, account: Account, clock: Any, prorated_at: str, deducted: str
) -> None:
    clock.move_to(CHANGED)
    price = prices.ensure_price(plan_key="creator", interval="month", currency="usd", amount=1990)
    payload = stripe_gateway.retrieve_subscription(str(starter.stripe_subscription_id))
    item = payload["items"]["data"][0] | {"price": {"id": price}}
    item |= {"current_period_start": second(CHANGED), "current_period_end": second(CHANGED) + 30 * 86400}
    metadata = payload["metadata"] | {"prorated_at": prorated_at}

    stripe_sync.apply_snapshot(payload | {"items": {"data": [item]}, "metadata": metadata}, timezone.now())

    assert StripePrice.objects.get(stripe_price_id=price).plan_key == "creator"
    assert bonus(account) == 1000 + 3000 - Decimal(deducted)
