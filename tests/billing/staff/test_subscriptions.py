"""Staff assign plans in the admin."""

import pytest
from django.test import Client

from accounts.models import Account
from billing.models import Subscription
from core.models import StaffAct

pytestmark = pytest.mark.django_db


def test_staff_assign_a_legacy_plan(staff_client: Client, account: Account) -> None:
    subscription = Subscription.objects.get(account=account)

    staff_client.post(
        f"/admin/billing/subscription/{subscription.pk}/place/", {"plan": "plus", "reason": "was a member"}
    )

    subscription.refresh_from_db()
    assert subscription.plan == "plus"


def test_only_plans_that_can_be_assigned_are_offered_and_only_a_change_is_recorded(
    staff_client: Client, account: Account
) -> None:
    subscription = Subscription.objects.get(account=account)
    path = f"/admin/billing/subscription/{subscription.pk}/place/"

    def offered() -> set[str]:
        form = staff_client.get(path).context["form"]
        return {str(choice.value) for choice, _label in form.fields["plan"].choices if choice}

    assert offered() == {"free-trial", "plus", "pro", "max", "early-bird"}
    assert b"Select a valid choice" in staff_client.post(path, {"plan": "starter", "reason": "x"}).content
    for _click in range(2):
        assert staff_client.post(path, {"plan": "plus", "reason": "was a member"}).status_code == 302
    staff_client.post(path, {"plan": "free-trial", "reason": "asked for it"})
    assert offered() == {"free-trial", "pro", "max", "early-bird"}, "it does not return to what it left"
    acts = StaffAct.objects.filter(act="subscription.assign_plan").order_by("pk")
    assert [(act.before["plan"], act.after["plan"]) for act in acts] == [
        ("free-trial", "plus"),
        ("plus", "free-trial"),
    ]
    Subscription.objects.filter(pk=subscription.pk).update(stripe_subscription_id="sub_1", plan="starter")
    page = staff_client.post(path, {"plan": "pro", "reason": "x"}, follow=True).content.decode()
    assert "The account pays for its plan" in page and path not in page
