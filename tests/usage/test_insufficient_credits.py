"""What an account without credits can do."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.utils import timezone

from accounts.models import Account, User
from billing.models import Allowance, Subscription
from usage import insufficient_credits


def test_allowances_that_a_renewal_brings_are_waited_for_and_those_of_a_former_plan_are_not(
    clock: Any, alice: User, account_of: Callable[[User], Account]
) -> None:
    account, now = account_of(alice), timezone.now()
    tomorrow = now + timedelta(days=1)
    period = {"period_start": now, "period_end": tomorrow, "paid_until": tomorrow}
    terms = {"plan": "starter", "interval": "month", "amount": 1000, "stripe_subscription_id": "sub_1"}
    Subscription.objects.filter(account=account).update(**terms, **period)
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
    options = insufficient_credits.options(account.pk, now)
    waits = [(option["label"], option["credits"]) for option in options if option["kind"] == "wait"]
    assert waits == [("Monthly", "7")]
