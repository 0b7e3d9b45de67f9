"""When an account's credits will be used up at a constant pace, with what its allowances bring meanwhile.

Invariants: only credits that every service can spend count; credits that expire first are spent first, and
what is unspent at their expiry is lost; an allowance brings credits as long as its plan goes on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from django.db.models import Q

from accounts.models import Account
from billing import ledger, selectors, validity
from billing.models import Allowance
from billing.subscriptions import grace

HORIZON = timedelta(days=366)
_DAY = timedelta(days=1)


@dataclass
class _Lot:
    remaining: Decimal
    expires_at: datetime | None


@dataclass
class _Renewal:
    """Credits that an allowance grants at `next_at`, the `count`-th time from now."""

    terms: Allowance
    next_at: datetime
    ends_at: datetime | None
    count: int = 0

    def lot(self) -> _Lot:
        """The credits of the period that begins now; moves to the next period."""
        started = self.next_at
        self.count += 1
        assert self.terms.next_at is not None, "allowances without a next period are left out"
        if self.terms.period == Allowance.Period.DAY:
            self.next_at = self.terms.next_at + self.count * _DAY
        else:
            self.next_at = validity.add_months(self.terms.next_at, self.count)
        lasts = self.terms.lasts
        return _Lot(
            self.terms.credits, self.next_at if lasts == "period" else validity.ends_at(lasts, started)
        )

    @property
    def is_due_before_its_end(self) -> bool:
        return self.ends_at is None or self.next_at < self.ends_at


def empty_at(
    account: Account, balance: ledger.Balance, *, per_day: Decimal, now: datetime
) -> datetime | None:
    """When nothing is available any more at `per_day` credits a day; None: not within HORIZON."""
    if per_day <= 0:
        return None
    lots = [_Lot(grant.remaining, grant.expires_at) for grant in balance.grants if grant.services is None]
    renewals = _renewals(account, now) if balance.allowances else []
    at, end = now, now + HORIZON
    while at < end:
        lots = [lot for lot in lots if lot.remaining and (lot.expires_at is None or lot.expires_at > at)]
        for renewal in renewals:
            if renewal.next_at <= at and renewal.is_due_before_its_end:
                lots.append(renewal.lot())
        lots.sort(key=lambda lot: lot.expires_at or end)
        events = [lot.expires_at for lot in lots if lot.expires_at]
        events += [renewal.next_at for renewal in renewals if renewal.is_due_before_its_end]
        until = min([*events, end])
        missing = _spend(lots, per_day * _days(until - at))
        if missing:
            return until - _DAY * float(missing / per_day)
        at = until
    return None


def _renewals(account: Account, now: datetime) -> list[_Renewal]:
    """The account's recurring allowances. Those of a plan that is renewed go on after its paid period."""
    running = Q(ends_at=None) | Q(ends_at__gt=now)
    allowances = Allowance.objects.filter(
        running, account=account, services=None, next_at__gt=now, credits__gt=0
    ).exclude(period=Allowance.Period.ONCE)
    renewals = [_Renewal(terms, terms.next_at, terms.ends_at) for terms in allowances if terms.next_at]
    if any(renewal.ends_at for renewal in renewals):
        subscription = selectors.subscription_of(account.pk)
        if subscription is not None and grace.is_renewed(subscription):
            for renewal in renewals:
                renewal.ends_at = None
    return renewals


def _spend(lots: Sequence[_Lot], credits: Decimal) -> Decimal:
    """Take credits from the lots in order; returns what they lack."""
    for lot in lots:
        taken = min(lot.remaining, credits)
        lot.remaining -= taken
        credits -= taken
    return credits


def _days(span: timedelta) -> Decimal:
    return Decimal(span // timedelta(microseconds=1)) / Decimal(_DAY // timedelta(microseconds=1))
