"""Grant and charge credits through the ledger at a given time, for tests of pages.

A time before the account's newest entry is allowed here: a test of a page states its past in any order.
"""

from datetime import datetime
from decimal import Decimal
from itertools import count
from typing import Any

from accounts.models import Account
from billing import ledger
from billing.models import Wallet

_numbers = count(1)
_LINE = {
    "meter": "tokens",
    "quantity": 2500,
    "unit_credits": "11",
    "per": 5000,
    "multipliers": {},
    "credits": "5.5",
}


def give(account: Account, credits: str, now: datetime, **more: Any) -> ledger.Granted:
    forget_newest_entry(account)
    terms = {"kind": "top_up", "label": "Small pack"} | more
    return ledger.grant(
        account_id=account.pk, credits=Decimal(credits), key=f"grant-{next(_numbers)}", now=now, **terms
    )


def spend(account: Account, credits: str, now: datetime, **more: Any) -> ledger.Charged:
    forget_newest_entry(account)
    detail = {
        "lines": [_LINE],
        "rate": {"version": "2026-11-01", "effective_at": "2026-11-01T00:00:00Z"},
    }
    use = {"service": "claude-sonnet-4", "detail": detail} | more
    request = ledger.ChargeRequest(
        account_id=account.pk, credits=Decimal(credits), key=f"charge-{next(_numbers)}", **use
    )
    return ledger.charge(request, now)


def forget_newest_entry(account: Account) -> None:
    """Else the ledger would date the move at the wallet's newest entry."""
    Wallet.objects.filter(account=account).update(moved_at=None)
