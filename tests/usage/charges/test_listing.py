"""The list of charges, page by page."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.utils import timezone

from accounts.models import Account, User
from tests.usage.spending import spend
from usage import periods
from usage.charges import listing

AccountOf = Callable[[User], Account]


def test_pages_of_charges_have_no_gap(alice: User, account_of: AccountOf) -> None:
    account, now = account_of(alice), timezone.now()
    charge_ids = [spend(account, "1", now).charge_id for _ in range(7)]  # all in the same instant
    period = periods.latest_days(account, days=1, now=now)
    seen, after = [], ""
    while True:
        page = listing.page_of(account, period, filters={}, after=after, size=3)
        seen += [charge_row.charge.pk for charge_row in page.charge_rows]
        after = page.before
        if not after:
            break
    assert sorted(seen) == sorted(charge_ids)
    assert len(seen) == 7


def test_a_day_begins_with_its_midnight_and_ends_before_the_next(
    clock: Any, alice: User, account_of: AccountOf
) -> None:
    account = account_of(alice)
    today = periods.latest_days(account, days=1, now=timezone.now())
    tick = timedelta(microseconds=1)
    at = {name: today.start + shift for name, shift in (("before", -tick), ("first", 0 * tick))}
    at |= {"last": today.end - tick, "after": today.end}
    charge_ids = {spend(account, "1", moment).charge_id: name for name, moment in at.items()}
    rows = listing.page_of(account, today, filters={}).charge_rows
    assert [charge_ids[row.charge.pk] for row in rows] == ["last", "first"]
