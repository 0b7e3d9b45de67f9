"""Totals of credits spent by day and by dimension."""

from collections.abc import Callable
from decimal import Decimal

import pytest
from django.utils import timezone

from accounts.models import Account, User
from billing import ledger
from tests.usage.spending import spend
from usage import periods
from usage.dashboard import aggregates

AccountOf = Callable[[User], Account]


@pytest.mark.parametrize("by", ["service", "project", "conversation", "member", "api_key"])
def test_group_totals_add_up_to_the_same_sum_by_every_dimension(
    alice: User, account_of: AccountOf, by: str
) -> None:
    account, now = account_of(alice), timezone.now()
    spend(account, "10", now, member_id=alice.pk, conversation="a")
    spend(account, "2.5", now, service="gpt-4o")
    period = periods.latest_days(account, days=7, now=now)
    groups = aggregates.group_totals(account, period, dimension=by)
    assert sum(group.credits for group in groups) == Decimal("12.5")
    assert sum(group.calls for group in groups) == 2


def test_returned_credits_do_not_count_as_spent(alice: User, account_of: AccountOf) -> None:
    account, now = account_of(alice), timezone.now()
    charged = spend(account, "20", now)
    ledger.reverse(
        account_id=account.pk,
        charge_id=charged.charge_id,
        credits=None,
        key="back",
        reason="",
        actor="",
        now=now,
    )
    period = periods.latest_days(account, days=1, now=now)
    assert [amount for _, amount in aggregates.daily_totals(account, period)] == [Decimal(0)]
