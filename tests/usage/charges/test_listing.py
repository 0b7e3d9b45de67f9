"""The list of charges, page by page."""

from collections.abc import Callable

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
