"""What an account without credits can do."""

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.utils import timezone

from accounts.models import Account, User
from billing.models import Allowance, Subscription
from pricing.models import Plan
from usage import insufficient_credits


def subscribe(account: Account, now: datetime, **fields: Any) -> None:
    """A plan that is paid until tomorrow."""
    tomorrow = now + timedelta(days=1)
    period = {"period_start": now, "period_end": tomorrow, "paid_until": tomorrow}
    terms = {"plan": "starter", "interval": "month", "amount": 1000, "stripe_subscription_id": "sub_1"}
    Subscription.objects.filter(account=account).update(**terms, **period, **fields)


def waits_of(account: Account, now: datetime) -> list[tuple[str, str]]:
    options = insufficient_credits.options(account.pk, now)
    return [(option["label"], option["credits"]) for option in options if option["kind"] == "wait"]


def test_allowances_that_a_renewal_brings_are_waited_for_and_those_of_a_former_plan_are_not(
    clock: Any, alice: User, account_of: Callable[[User], Account]
) -> None:
    account, now = account_of(alice), timezone.now()
    tomorrow = now + timedelta(days=1)
    subscribe(account, now)
    [daily] = Allowance.objects.filter(account=account)
    Allowance.objects.filter(pk=daily.pk).update(ends_at=now)  # the free plan was left today
    values = {"anchor_at": now, "kind": "plan", "priority": 20, "zone": "UTC", "label": "Monthly"}
    Allowance.objects.create(
        account=account,
        key="m",
        period="month",
        credits=Decimal(7),
        next_at=tomorrow,
        ends_at=tomorrow,
        **values,
    )
    assert waits_of(account, now) == [("Monthly", "7")]


def test_the_free_plan_that_follows_a_cancelled_one_is_waited_for_until_it_begins(
    clock: Any, alice: User, account_of: Callable[[User], Account]
) -> None:
    account, now = account_of(alice), timezone.now()
    Allowance.objects.filter(account=account).delete()
    daily = {"label": "Daily", "credits": "5", "period": "day"}
    Plan.objects.filter(free=True).update(allowances=[daily, daily | {"label": "Gift", "period": "once"}])
    subscribe(account, now, cancel_at_period_end=True)
    tomorrow = now + timedelta(days=1)
    found = [waits_of(account, at) for at in (now, tomorrow - timedelta(microseconds=1), tomorrow)]
    assert found == [[("Daily", "5")], [("Daily", "5")], []]
