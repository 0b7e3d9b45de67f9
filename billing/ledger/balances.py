"""Balances: what an account has, settled to the time of the request.

Invariants: a balance is one snapshot, so that its total is the sum of its grants; it never includes credits
that have expired at that time; reading takes no lock unless something is due.
"""

import datetime as dt
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from billing.ledger import database
from billing.ledger.models import Allowance, Grant, Wallet

MOST_GRANTS = 100  # of an account whose balance is read together with those of others
_EARLIEST, _LATEST = dt.datetime(1970, 1, 1, tzinfo=dt.UTC), dt.datetime(9999, 1, 1, tzinfo=dt.UTC)
_READ = "select * from ledger_balance(%(account_id)s, %(now)s)"
_READ_MANY = """select b.*, w.account_id
  from billing_wallet w cross join lateral ledger_balance(w.account_id, %(now)s) b
 where w.account_id = any(%(account_ids)s) and not exists (
   select from billing_grant g where g.account_id = w.account_id and g.open offset %(most_grants)s)"""
_SPAN = """select ledger_seq_before(%(account_id)s, %(start)s) as after,
  ledger_seq_before(%(account_id)s, %(end)s) as until"""
_DUE = "select next_due_at <= %(now)s as due from billing_wallet where account_id = %(account_id)s"
_SETTLE = "select ledger_settle_for_read(%(account_id)s, %(now)s)"


@dataclass(frozen=True, kw_only=True, slots=True)
class GrantInForce:
    """A grant that has not expired, with credits that remain or are held. `credits` is what was granted."""

    id: uuid.UUID
    kind: str
    label: str
    credits: Decimal
    remaining: Decimal
    held: Decimal
    expires_at: dt.datetime | None
    services: list[str] | None
    allowance: str
    purchase_id: uuid.UUID | None

    @property
    def public_id(self) -> str:
        return Grant.public_id_of(self.id)


@dataclass(frozen=True, kw_only=True, slots=True)
class RunningAllowance:
    """An allowance that will be granted again, at `next_at`.

    The last day of a plan is included with `is_last`: its credits end at `next_at` and are not granted again.
    """

    key: str
    label: str
    credits: Decimal
    period: str
    next_at: dt.datetime
    is_last: bool = False


@dataclass(frozen=True, kw_only=True)
class Balance:
    """An account's credits: `available` to every service; `total` includes credits for some services only.

    `grants` are those in force in spending order; `version` changes with every move; `allowances` are those
    that will be granted again; `daily` is the one of the day, also on the last day of a plan.
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
    grants: tuple[GrantInForce, ...]
    daily: RunningAllowance | None
    allowances: tuple[RunningAllowance, ...]

    @property
    def limited(self) -> Decimal:
        """Credits that only some services can spend."""
        return self.total - self.available

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
    """Return the account's balance; settles the wallet first if something is due.

    Raises UnknownWallet. A due wallet that another transaction has locked for a quarter of a second raises
    OperationalError (503): there is no exact balance before it is settled.
    """
    parameters = {"account_id": account_id, "now": now}
    wallet = database.row(_READ, parameters)
    while wallet["due"]:
        database.move(_SETTLE, parameters)
        wallet = database.row(_READ, parameters)
    return _balance(account_id, wallet, now)


def balances(account_ids: Collection[uuid.UUID], now: dt.datetime) -> dict[uuid.UUID, Balance]:
    """Return the balances of several accounts in one call that takes no lock.

    Left out are accounts without a wallet, those that are due, which `balance` settles, and those with more
    than MOST_GRANTS open grants, for which the others would wait.
    """
    if database.is_distributed():
        wallets = _balances_one_by_one(account_ids, now)
    else:
        parameters = {"account_ids": list(account_ids), "now": now, "most_grants": MOST_GRANTS}
        wallets = database.rows(_READ_MANY, parameters)
    return {
        wallet["account_id"]: _balance(wallet["account_id"], wallet, now)
        for wallet in wallets
        if not wallet["due"]
    }


def _balances_one_by_one(account_ids: Collection[uuid.UUID], now: dt.datetime) -> list[dict[str, Any]]:
    known = Wallet.objects.filter(pk__in=account_ids).values_list("pk", flat=True)
    rows = [(each, database.row(_READ, {"account_id": each, "now": now})) for each in known]
    return [row | {"account_id": account_id} for account_id, row in rows]


def _balance(account_id: uuid.UUID, wallet: Mapping[str, Any], now: dt.datetime) -> Balance:
    grants = tuple(map(_grant, wallet["grants"] or ()))
    allowances = tuple(map(_allowance, wallet["allowances"] or ()))
    return Balance(
        account_id=account_id,
        available=sum((grant.remaining for grant in grants if grant.services is None), Decimal(0)),
        total=wallet["balance"],
        held=wallet["held"],
        debt=wallet["debt"],
        low=wallet["is_low"],
        warn_below=wallet["warn_below"],
        version=wallet["seq"],
        as_of=now,
        grants=grants,
        daily=next((item for item in allowances if item.period == Allowance.Period.DAY), None),
        allowances=tuple(item for item in allowances if not item.is_last),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Span:
    """The entries of a period by their numbers: from `after` (excluded) to `until` (included)."""

    after: int
    until: int


def span(account_id: uuid.UUID, *, start: dt.datetime | None, end: dt.datetime | None) -> Span:
    """The entries from `start` (included) to `end` (excluded); None: from the first, or to the newest.

    Whatever is listed or added up for a period is selected by these numbers and not by time: then the balance
    at `after` and the movements give the balance at `until`, and periods that meet have each entry once.
    """
    parameters = {"account_id": account_id, "start": start or _EARLIEST, "end": end or _LATEST}
    return Span(**database.row(_SPAN, parameters))


def settle_for_read(account_id: uuid.UUID, now: dt.datetime) -> None:
    """Settle the account before its rows are listed: no lock when nothing is due; waits as `balance` does."""
    parameters = {"account_id": account_id, "now": now}
    while any(wallet["due"] for wallet in database.rows(_DUE, parameters)):
        database.move(_SETTLE, parameters)


def _grant(row: Mapping[str, Any]) -> GrantInForce:
    return GrantInForce(
        id=uuid.UUID(row["id"]),
        kind=row["kind"],
        label=row["label"],
        credits=Decimal(row["credits"]),
        remaining=Decimal(row["remaining"]),
        held=Decimal(row["held"]),
        expires_at=row["expires_at"] and _instant(row["expires_at"]),
        services=row["services"],
        allowance=row["allowance"],
        purchase_id=row["purchase_id"] and uuid.UUID(row["purchase_id"]),
    )


def _allowance(row: Mapping[str, Any]) -> RunningAllowance:
    return RunningAllowance(
        key=row["key"],
        label=row["label"],
        credits=Decimal(row["credits"]),
        period=row["period"],
        next_at=_instant(row["next_at"]),
        is_last=bool(row["is_last"]),
    )


def _instant(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).astimezone(dt.UTC)
