"""The figures of the dashboard: grants that expire soon, the next steps, activity and the page's version."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Account, User
from billing import ledger
from billing.models import Subscription
from billing.subscriptions import ledger_terms, plan_terms
from pricing.models import Plan
from tests.usage.spending import give, spend
from usage.dashboard import activity, balance_summary

AccountOf = Callable[[User], Account]
WEEK = timedelta(days=7)


@pytest.fixture
def account(clock: Any, alice: User, account_of: AccountOf) -> Account:
    return account_of(alice)


def test_a_grant_within_seven_days_of_its_expiry_is_announced_the_first_of_several(account: Account) -> None:
    now = timezone.now()
    give(account, "10", now, label="Never")
    give(account, "20", now, label="Later", kind="bonus", expires_at=now + WEEK + timedelta(microseconds=1))
    assert balance_summary.summarize(account, now).expiring is None, "daily credits are renewed"
    give(account, "30", now, label="In a week", kind="bonus", expires_at=now + WEEK)
    give(account, "40", now, label="In five days", kind="top_up", expires_at=now + timedelta(days=5))
    summary = balance_summary.summarize(account, now)
    assert {line.grant.label for line in summary.lines if line.expires_soon} == {"In a week", "In five days"}
    assert summary.expiring is not None and summary.expiring.label == "In five days"


def test_the_composition_and_what_only_some_services_can_spend(account: Account) -> None:
    now = timezone.now()
    give(account, "20", now, kind="bonus", services=["tag:advanced"])
    spend(account, "30", now)
    summary = balance_summary.summarize(account, now)
    assert summary.composition == [("daily", 70), ("bonus", 20)]
    assert (summary.balance.available, summary.limited) == (70, 20)


def test_a_grant_that_is_on_hold_as_a_whole_is_neither_part_of_the_balance_nor_expires_soon(
    account: Account,
) -> None:
    now = timezone.now()
    give(account, "20", now, kind="bonus", services=["tag:advanced"], expires_at=now + timedelta(days=1))
    request = ledger.ChargeRequest(
        account_id=account.pk, credits=Decimal(120), key="h", service="x", covers=("tag:advanced",)
    )
    ledger.hold(request, expires_at=now + timedelta(hours=1), now=now)
    summary = balance_summary.summarize(account, now)
    assert [(line.grant.kind, line.grant.held) for line in summary.lines] == [("daily", 100), ("bonus", 20)]
    assert (summary.composition, summary.expiring) == ([], None)


def test_the_next_credits_are_those_of_the_allowance_that_renews_first(account: Account) -> None:
    now = timezone.now()
    ledger_terms.apply_to_ledger(
        Plan.objects.get(key="starter"),
        account_id=account.pk,
        anchor_at=now,
        ends_at=None,
        once_at=None,
        carry_over=False,
        now=now,
    )
    assert balance_summary.summarize(account, now).next_credits_at is None, "said when few credits are left"
    spend(account, str(ledger.balance(account.pk, now).available), now)
    summary = balance_summary.summarize(account, now)
    assert [allowance.period for allowance in summary.balance.allowances] == ["day", "month"]
    assert summary.next_credits_at == datetime(2026, 11, 21, tzinfo=UTC)


@pytest.mark.parametrize(
    ("spent", "threshold", "is_offered"),
    [
        ("99", None, False),
        ("99.000001", None, True),
        ("100", None, True),
        ("70", "31", True),
        ("70", "30", False),
    ],
)
def test_the_next_steps_are_offered_with_less_than_one_credit_or_below_the_threshold(
    account: Account, spent: str, threshold: str | None, is_offered: bool
) -> None:
    """Credits for some services only do not count as available."""
    now = timezone.now()
    ledger.set_warning(account_id=account.pk, below=threshold and Decimal(threshold), now=now)
    if threshold is None:
        give(account, "20", now, kind="bonus", services=["tag:multimodal"])
    spend(account, spent, now)
    summary = balance_summary.summarize(account, now)
    if not is_offered:
        assert (summary.options, summary.upgrades, summary.packs_offered) == ([], [], False)
        return
    kinds = [option["kind"] for option in summary.options]
    assert kinds.count("upgrade") > 2 and kinds.count("buy") > 0
    assert [option["plan"] for option in summary.upgrades] == ["starter", "creator"], "the nearest two"
    assert summary.packs_offered is True


def test_unlimited_services_are_named(account: Account) -> None:
    Subscription.objects.filter(account=account).update(plan="early-bird")
    plan_terms.forget(account.pk)
    unlimited = balance_summary.summarize(account, timezone.now()).unlimited
    assert len(unlimited) == 11 and "Claude Sonnet 4" in unlimited and "GPT-4o" in unlimited


def test_the_activity_has_each_entry_and_each_free_use_once_newest_first(
    account: Account, charlie: User, account_of: AccountOf
) -> None:
    start = timezone.now()
    for number, credits in enumerate(("1", "0", "2", "0", "3")):
        spend(account, credits, start + timedelta(seconds=number), conversation=f"c-{number}")
    spend(account_of(charlie), "0", start + timedelta(seconds=9))
    items = activity.latest(account, size=4)
    shown = [
        (
            item.line.credits if item.line else None,
            item.charge_row and item.charge_row.charge.conversation,
        )
        for item in items
    ]
    assert shown == [(-3, None), (0, None), (-2, None), (0, None)]
    assert [item.at for item in items] == [start + timedelta(seconds=number) for number in (4, 3, 2, 1)]
    assert items[0].microseconds == int(Decimal(str(start.timestamp())) * 1_000_000) + 4_000_000
    assert len(activity.latest(account, size=20)) == 6, "five uses and the daily credits"
