"""Periods of whole local days."""

from collections.abc import Callable
from datetime import timedelta

from django.utils import timezone

from accounts.models import Account, User
from usage import periods

AccountOf = Callable[[User], Account]


def test_days_are_whole_across_a_clock_change(alice: User, account_of: AccountOf) -> None:
    account = account_of(alice)
    Account.objects.filter(pk=account.pk).update(zone="Europe/Berlin")
    account.refresh_from_db()
    now = timezone.now().replace(year=2026, month=10, day=26, hour=12)
    period = periods.latest_days(account, days=3, now=now)
    assert [day.isoformat() for day in period.days] == ["2026-10-24", "2026-10-25", "2026-10-26"]
    assert (period.end - period.start) == timedelta(days=3, hours=1), "the 25th has 25 hours"
    assert (period.end.timestamp() - period.start.timestamp()) == 73 * 3600
