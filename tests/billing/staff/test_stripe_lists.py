"""The lists of prices and of comparisons with Stripe: subscribers of a price, and comparisons that differ."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import Account, User
from billing.models import Reconciliation, StripePrice, Subscription

pytestmark = pytest.mark.django_db


def cells(page: Any, name: str) -> list[str]:
    """The text or the label of each cell of a column, from the top."""
    found = re.findall(rf"<td[^>]*field-{name}[^>]*>(.*?)</td>", page.content.decode(), re.DOTALL)
    return [" ".join(re.sub(r"<[^>]*>", " ", cell).split()) for cell in found]


def test_the_subscribers_of_a_price_pay_its_amount(
    account: Account, staff: User, signed_in: Callable[[User], Client]
) -> None:
    terms = {"plan_key": "starter", "interval": "month", "currency": "usd"}
    for amount in (900, 990):
        StripePrice.objects.create(**terms, amount=amount, stripe_price_id=f"price_{amount}")
    subscribed = {"plan": "starter", "interval": "month", "currency": "usd", "amount": 900}
    Subscription.objects.filter(account=account).update(**subscribed, stripe_subscription_id="sub_1")
    shown = cells(signed_in(staff).get("/admin/billing/stripeprice/"), "subscribers")
    assert sorted(shown) == ["0", "1"]


def test_a_comparison_with_findings_and_without_gaps_is_marked(
    staff: User, signed_in: Callable[[User], Client]
) -> None:
    now = timezone.now()
    for findings in ([], [{"payment": "pi_1", "amount": 5}]):
        Reconciliation.objects.create(since=now, until=now, finished_at=now, findings=findings, totals={})
    assert len(set(cells(signed_in(staff).get("/admin/billing/reconciliation/"), "differs"))) == 2
