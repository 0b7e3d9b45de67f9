"""Balances: what an account has, settled to the time of the request.

Invariant: a balance never includes credits that have expired at that time.
"""

import datetime as dt
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from django.db.models import F, Q

from billing.ledger import settling
from billing.ledger.errors import UnknownWallet
from billing.ledger.models import Allowance, Grant, Wallet


@dataclass(frozen=True, kw_only=True)
class Balance:
    """An account's credits: `available` to every service; `total` includes credits for some services only.

    `grants` are those in force in spending order; `version` changes with every move; `daily` is the allowance
    that renews each day, if there is one.
    """

    account_id: uuid.UUID
    available: Decimal
    total: Decimal
    held: Decimal
    debt: Decimal
    low: bool
    warn_below: Decimal | None
    version: int
    as_of: dt.datetime
    grants: tuple[Grant, ...]
    daily: Allowance | None
    allowances: tuple[Allowance, ...]

    @property
    def daily_remaining(self) -> Decimal:
        """Credits left of today's daily allowance."""
        if self.daily is None:
            return Decimal(0)
        left = (grant.remaining for grant in self.grants if grant.allowance == self.daily.key)
        return sum(left, Decimal(0))

    def spendable_on(self, covers: Sequence[str]) -> Decimal:
        """Credits that a use with these names (service key, tag:…) could spend."""
        names = set(covers)
        fitting = (g.remaining for g in self.grants if g.services is None or names.intersection(g.services))
        return sum(fitting, Decimal(0))


def balance(account_id: uuid.UUID, now: dt.datetime) -> Balance:
    """Return the account's balance; settles the wallet first if something is due. Raises UnknownWallet."""
    wallet = Wallet.objects.filter(account_id=account_id).first()
    if wallet is None:
        raise UnknownWallet(account_id)
    if wallet.next_due_at is not None and wallet.next_due_at <= now:
        settling.settle([account_id], now)
        wallet.refresh_from_db()
    grants = tuple(spending_order(account_id, now))
    allowances = tuple(
        Allowance.objects.filter(account_id=account_id, next_at__isnull=False)
        .filter(Q(ends_at=None) | Q(next_at__lt=F("ends_at")))
        .order_by("next_at", "id")
    )
    return Balance(
        account_id=account_id,
        available=sum((grant.remaining for grant in grants if grant.services is None), Decimal(0)),
        total=wallet.balance,
        held=wallet.held,
        debt=wallet.debt,
        low=wallet.is_low,
        warn_below=wallet.warn_below,
        version=wallet.seq,
        as_of=now,
        grants=grants,
        daily=next((item for item in allowances if item.period == Allowance.Period.DAY), None),
        allowances=allowances,
    )


def spending_order(account_id: uuid.UUID, now: dt.datetime) -> list[Grant]:
    """Return the grants in force, in the order in which they will be spent (sql/30_grants.sql)."""
    statement = """select g.* from ledger_spendable(%s, null, %s) s
      join billing_grant g on g.account_id = %s and g.id = s.id order by s.place"""
    return list(Grant.objects.raw(statement, [account_id, now, account_id]))
