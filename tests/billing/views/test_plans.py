"""The pages of plans."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import Account, User
from billing.models import Subscription
from billing.subscriptions import lifecycle

pytestmark = pytest.mark.django_db


@pytest.mark.requirement("REFLY-09")
def test_leaving_a_legacy_plan_on_the_page_requires_a_confirmation(
    stripe_api: Any, account: Account, alice: User, signed_in: Callable[[User], Client]
) -> None:
    lifecycle.assign_plan(account=account, plan_key="plus", actor="staff", now=timezone.now())
    browser = signed_in(alice)
    page = browser.get("/plans/free-trial/")
    assert "can't return to it" in page.content.decode()
    form = {"token": page.context["preview"].token}

    browser.post("/plans/free-trial/", form)
    assert Subscription.objects.get(account=account).plan == "plus"
    browser.post("/plans/free-trial/", form | {"understood": "on"})
    assert Subscription.objects.get(account=account).plan == "free-trial"


@pytest.mark.requirement("REFLY-09")
def test_the_plans_page_shows_a_legacy_plan_only_to_an_account_on_it(
    catalogue: None, account: Account, alice: User, signed_in: Callable[[User], Client]
) -> None:
    def shown() -> set[str]:
        return {column["plan"].key for column in signed_in(alice).get("/plans/").context["plans"]}

    assert "starter" in shown() and "pro" not in shown()
    lifecycle.assign_plan(account=account, plan_key="pro", actor="staff", now=timezone.now())
    assert "pro" in shown() and "max" not in shown()
