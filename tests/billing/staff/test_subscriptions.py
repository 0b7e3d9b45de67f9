"""Staff assign plans in the admin."""

import pytest
from django.test import Client

from accounts.models import Account
from billing.models import Subscription

pytestmark = pytest.mark.django_db


def test_staff_assign_a_legacy_plan(staff_client: Client, account: Account) -> None:
    subscription = Subscription.objects.get(account=account)

    staff_client.post(
        f"/admin/billing/subscription/{subscription.pk}/place/", {"plan": "plus", "reason": "was a member"}
    )

    subscription.refresh_from_db()
    assert subscription.plan == "plus"
