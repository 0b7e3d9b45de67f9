"""The figures of the forecast page."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.utils import timezone

from accounts.models import Account, User
from billing.models import Allowance
from tests.usage.spending import give, spend
from usage.forecast import page
from usage.forecast.projection import Event, Kind, Projection

DAY = timedelta(days=1)


def test_the_range_and_the_number_of_packs(
    clock: Any, alice: User, account_of: Callable[[User], Account]
) -> None:
    account, now = account_of(alice), timezone.now()
    Allowance.objects.filter(account=account).delete()
    give(account, "800", now - 20 * DAY)
    for days in range(20):
        spend(account, "20" if days < 7 else "10", now - days * DAY)
    found = page.of(account, now)
    assert (found.pace.low, found.pace.high) == (10, 20)
    assert found.earliest and found.latest
    ends = [one.empty_at for one in (found.earliest, found.projection, found.latest)]
    # 630 are left, with what was given at sign-up: at 20 a day, and at the mean, 13.5
    assert [round((end - now) / DAY, 1) for end in ends if end] == [31.5, 46.7]
    assert ends[2] is None, "later than the last day of the forecast"
    many = Projection(events=[Event(now, Kind.TOP_UP, credits=Decimal(1))] * (page.MOST_EVENTS + 1))
    assert replace(found, projection=many).top_ups == page.MOST_EVENTS + 1
