"""E-mails that confirm what becomes of a plan after its paid period."""

from datetime import UTC, datetime
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Account
from billing.models import Mail, Subscription
from billing.notifications import plan_changes

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("scheduled", [{"cancel_at_period_end": True}, {"next_plan": "starter"}])
def test_the_day_of_the_change_is_that_of_the_accounts_zone(
    account: Account, scheduled: dict[str, Any]
) -> None:
    Account.objects.filter(pk=account.pk).update(zone="Asia/Tokyo")
    subscription = Subscription.objects.get(account=account)
    for name, value in {"period_end": datetime(2027, 3, 31, 15, tzinfo=UTC), **scheduled}.items():
        setattr(subscription, name, value)
    plan_changes.queue(subscription, was_cancelled=False, followed_by="", now=timezone.now())
    assert Mail.objects.get(template__startswith="plan_").context["day"] == "2027-04-01"
