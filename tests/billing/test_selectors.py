"""Reads of billing: each returns the rows of its account, in its order, and nothing of another one."""

import uuid
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Account, User
from billing import ledger, selectors
from billing.models import BillingProfile, Purchase, Subscription
from billing.subscriptions import lifecycle, plan_terms

pytestmark = pytest.mark.django_db


@pytest.fixture
def other(charlie: User) -> Account:
    return Account.objects.get(person=charlie)


def bought(account: Account, days: int = 0, **terms: Any) -> Purchase:
    """A purchase made so many days ago."""
    values = {
        "kind": "pack", "origin": "page", "offer": "small", "label": "Small", "amount": 100,
        "list_amount": 100, "currency": "usd", "status": "created", "idempotency_key": str(uuid.uuid4()),
        "created_at": timezone.now() - timedelta(days=days),
    }  # fmt: skip
    return Purchase.objects.create(account=account, **values | terms)


def give(account: Account, credits: str, purchase: Purchase, key: str, **terms: Any) -> None:
    ledger.grant(
        account_id=account.pk, credits=Decimal(credits), kind="top_up", label=key, key=key,
        purchase_id=purchase.pk, now=timezone.now(), **terms,
    )  # fmt: skip


def test_purchases_are_those_of_the_account_newest_first(account: Account, other: Account) -> None:
    expected = [bought(account, days) for days in (3, 1, 2)]
    bought(other)
    assert list(selectors.purchases_of(account.pk)) == [expected[1], expected[2], expected[0]]


@pytest.mark.parametrize(
    ("terms", "is_found"),
    [
        ({"kind": "plan", "status": "pending"}, True),
        ({"kind": "plan", "status": "created"}, False),
        ({"kind": "plan", "status": "failed"}, False),
        ({"kind": "pack", "status": "pending"}, False),
    ],
)
def test_a_pending_plan_is_a_plan_whose_payment_is_awaited(
    account: Account, other: Account, terms: dict[str, Any], is_found: bool
) -> None:
    purchase = bought(account, **terms)
    bought(other, kind="plan", status="pending")
    assert selectors.pending_plan(account.pk) == (purchase if is_found else None)


def test_the_first_of_several_pending_plans_is_named(account: Account) -> None:
    first = [bought(account, days, kind="plan", status="pending") for days in (1, 2, 0)][1]
    assert selectors.pending_plan(account.pk) == first


def test_the_remaining_credits_of_a_purchase_are_those_of_all_its_grants(
    account: Account, other: Account
) -> None:
    first, second, empty = bought(account), bought(account), bought(account)
    give(account, "10", first, "a", priority=1)
    give(account, "5", first, "b")
    give(account, "7", second, "c")
    request = ledger.ChargeRequest(account_id=account.pk, credits=Decimal(4), key="use", service="gpt-4o")
    ledger.charge(request, timezone.now())
    ledger.hold(
        ledger.ChargeRequest(account_id=account.pk, credits=Decimal(2), key="hold", service="gpt-4o"),
        expires_at=timezone.now() + timedelta(hours=1), now=timezone.now(),
    )  # fmt: skip

    assert [selectors.remaining_credits(one) for one in (first, second, empty)] == [9, 7, 0]
    assert selectors.remaining_credits_by_purchase([first, second, empty]) == {first.pk: 9, second.pk: 7}
    assert selectors.remaining_credits_by_purchase([]) == {}


def test_a_profile_is_the_accounts_or_an_empty_unsaved_one(account: Account, other: Account) -> None:
    BillingProfile.objects.create(account=other, card_id="pm_other")
    profile = selectors.profile_of(account.pk)
    assert (profile.pk, profile.card_id) == (account.pk, "")
    assert not BillingProfile.objects.filter(pk=account.pk).exists()
    assert selectors.profile_of(other.pk).card_id == "pm_other"


def test_the_subscription_of_an_account(account: Account, other: Account) -> None:
    subscription = selectors.subscription_of(account.pk)
    assert subscription is not None and subscription.account_id == account.pk
    Subscription.objects.filter(account=account).delete()
    assert selectors.subscription_of(account.pk) is None
    assert selectors.subscription_of(other.pk) is not None


@pytest.mark.parametrize(
    ("plan", "state", "paid"),
    [
        ("free-trial", "active", False), ("starter", "active", True), ("starter", "past_due", False),
        ("early-bird", "active", False),
    ],
)  # fmt: skip
def test_a_paid_plan_is_one_that_costs_money_and_is_not_overdue(
    account: Account, plan: str, state: str, paid: bool
) -> None:
    Subscription.objects.filter(account=account).update(plan=plan, state=state)
    plan_terms.forget_all()
    assert selectors.has_paid_plan(account.pk) is paid


def test_quotas_of_the_plan_with_what_is_used(account: Account, other: Account) -> None:
    now = timezone.now()
    for one, files in (account, 3), (other, 9):
        ledger.charge(
            ledger.ChargeRequest(
                account_id=one.pk, credits=Decimal(0), key="use", service="files", quota=("files", files)
            ),
            now,
        )
    [(quota, used)] = selectors.quota_usage(account.pk)
    assert (quota.key, int(quota.maximum), int(used)) == ("files", 100, 3)
    lifecycle.assign_plan(account=account, plan_key="early-bird", actor="staff", now=now)
    assert [row for row in selectors.quota_usage(account.pk) if row[0].key != "files"] == []
