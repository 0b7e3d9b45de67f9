"""/memorial-wall: the public names of early members."""

from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Account, User
from billing.models import Subscription
from billing.subscriptions import plan_terms
from pricing.models import Plan
from tests.billing.conftest import change_policies

pytestmark = [pytest.mark.usefixtures("clock"), pytest.mark.requirement("REFLY-11", "CORE-07")]


def test_the_wall_has_the_members_who_chose_to_be_listed_newest_first(
    api: Any, alice: User, bob: User, charlie: User, account_of: Any, clock: Any, platform_api: Any
) -> None:
    since = {}
    for minutes, user in enumerate((alice, bob, charlie), start=1):
        clock.shift(60)
        account: Account = account_of(user)
        since[user] = f"2026-11-20T12:0{minutes}:00Z"
        terms = {"plan": "early-bird", "created_at": timezone.now()}
        Subscription.objects.filter(account=account).update(**terms)
        plan_terms.forget(account.pk)
    badge = Plan.objects.get(key="early-bird").badge
    assert api.get("memorial-wall").json()["data"] == []
    for user in (alice, charlie):
        Account.objects.filter(person=user).update(on_wall=True)
    wall = api.get("memorial-wall").json()
    assert wall["data"] == [
        {"name": "Charlie", "badge": badge, "since": since[charlie]},
        {"name": "Alice", "badge": badge, "since": since[alice]},
    ]
    assert platform_api.get("memorial-wall").json() == wall, "it is the same for every account"
    first = api.get("memorial-wall", limit="1").json()
    assert first["data"] == wall["data"][:1] and first["has_more"]
    assert api.get("memorial-wall", cursor=first["next_cursor"]).json()["data"] == wall["data"][1:]
    assert platform_api.get("memorial-wall", account="acct_unknown").status_code == 404


def test_a_product_without_a_wall_has_none(api: Any) -> None:
    change_policies(memorial_wall=False)
    refused = api.get("memorial-wall")
    assert (refused.status_code, refused.json()["code"]) == (404, "not_found")
