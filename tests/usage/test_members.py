"""Members with what they have spent this month, and what their limits have counted."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.utils import timezone

from accounts.models import Account, Membership, User
from billing import ledger
from tests.usage.spending import give, spend
from usage import members


def test_what_a_limit_has_counted_is_shown_until_its_month_ends(
    clock: Any, alice: User, account_of: Callable[[User], Account]
) -> None:
    account, now = account_of(alice), timezone.now()
    give(account, "100", now)
    Membership.objects.filter(account=account, user=alice).update(monthly_limit=Decimal(4))
    terms = {"kind": "member", "subject": str(alice.pk), "period": "month", "maximum": Decimal(4)}
    ledger.set_limit(account_id=account.pk, now=now, **terms)
    spend(account, "4", now, member_id=alice.pk)
    december = datetime(2026, 12, 1, tzinfo=UTC)
    shown = [
        members.summaries_of(account, at)[0] for at in (now, december - timedelta(microseconds=1), december)
    ]
    figures = [(one.spent, one.calls, one.used, one.limit_reached) for one in shown]
    assert figures == [(4, 1, 4, True), (4, 1, 4, True), (0, 0, 0, False)]


def test_a_limit_in_another_account_is_not_shown(
    clock: Any, alice: User, charlie: User, account_of: Callable[[User], Account]
) -> None:
    account, other, now = account_of(alice), account_of(charlie), timezone.now()
    terms = {"kind": "member", "subject": str(alice.pk), "period": "month", "maximum": Decimal(4)}
    ledger.set_limit(account_id=other.pk, now=now, **terms)
    give(other, "100", now)
    spend(other, "4", now, member_id=alice.pk)
    [shown] = members.summaries_of(account, now)
    assert (shown.spent, shown.used) == (0, 0)
