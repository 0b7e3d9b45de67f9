"""How an account stands at this moment, as its pages show it: balance, grants in spending order, pace.

Invariant: figures come from `billing.ledger.balance`, which settles the account first; nothing is added up
here but what one page shows together.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db.models import F, Min
from django.utils.translation import gettext as _

from accounts.models import Account
from billing import ledger
from billing.models import Allowance, Wallet
from core import ids
from usage import statistics

SOON = timedelta(days=7)


@dataclass(frozen=True)
class GrantLine:
    """A grant with what remains of it."""

    id: UUID
    kind: str
    label: str
    granted: Decimal
    remaining: Decimal
    held: Decimal
    expires_at: datetime | None
    services: Sequence[str] | None
    soon: bool

    @property
    def services_text(self) -> str:
        """What it pays for, in words: names of services, and `advanced models` for a tag."""
        return ", ".join(_scope(scope) for scope in self.services or ())

    @property
    def public_id(self) -> str:
        return ids.public_id(prefix="grant", value=self.id)


@dataclass(frozen=True)
class Daily:
    """Today's part of an allowance that renews each day."""

    amount: Decimal
    remaining: Decimal
    resets_at: datetime


@dataclass(frozen=True)
class Standing:
    """What the account has, in spending order, and what is about to change."""

    version: str
    available: Decimal
    held: Decimal
    debt: Decimal
    grants: list[GrantLine]
    daily: Daily | None
    unlimited: list[str]
    low: bool
    warn_below: Decimal
    next_credits_at: datetime | None

    @property
    def composition(self) -> list[tuple[str, Decimal]]:
        return [(grant.kind, grant.remaining) for grant in self.grants if grant.remaining]

    @property
    def expiring(self) -> GrantLine | None:
        """What will be lost first within a week; daily credits come again and are not worth a warning."""
        soon = [grant for grant in self.grants if grant.soon and grant.remaining]
        return min(soon, key=lambda grant: grant.expires_at or datetime.max, default=None)


@dataclass(frozen=True)
class Pace:
    """How fast credits go, and how long what is there lasts at that pace."""

    a_day: Decimal
    total: Decimal
    days_left: int | None


def _scope(scope: str) -> str:
    kind, _colon, tag = scope.partition(":")
    if kind == "tag":
        return _("services tagged %(tag)s") % {"tag": tag}
    return statistics.service_names([scope])[scope]


def version_of(account: Account, now: datetime) -> str:
    """A word that changes with every movement; empty while something is due and not yet booked."""
    row = Wallet.objects.filter(account=account).values_list("seq", "next_due_at").first()
    if row is None or (row[1] is not None and row[1] <= now):
        return ""
    return str(row[0])


def standing_of(account: Account, now: datetime) -> Standing:
    """The account's credits as of now. Settles what is due."""
    balance = ledger.balance(account.pk, now)
    wallet = Wallet.objects.get(account=account)
    grants = [_line(grant, now) for grant in balance.grants]
    renewals = Allowance.objects.filter(account=account, next_at__isnull=False).exclude(ends_at__lte=F("next_at"))
    daily = _daily(grants, renewals.filter(period=Allowance.Period.DAY).order_by("next_at").first())
    return Standing(
        version=str(wallet.seq),
        available=balance.available,
        held=balance.held,
        debt=balance.debt,
        grants=grants,
        daily=daily,
        unlimited=[],
        low=wallet.warn_below is not None and balance.available < wallet.warn_below,
        warn_below=wallet.warn_below or Decimal(0),
        next_credits_at=renewals.aggregate(soonest=Min("next_at"))["soonest"],
    )


def _line(grant: Any, now: datetime) -> GrantLine:
    return GrantLine(
        id=grant.id,
        kind=grant.kind,
        label=grant.label,
        granted=grant.granted,
        remaining=grant.remaining,
        held=grant.held,
        expires_at=grant.expires_at,
        services=grant.services,
        soon=grant.kind != "daily" and grant.expires_at is not None and grant.expires_at - now <= SOON,
    )


def _daily(grants: Sequence[GrantLine], allowance: Allowance | None) -> Daily | None:
    """Today's refresh: what is left of the daily grants, even when nothing is."""
    if allowance is None or allowance.next_at is None:
        return None
    today = [grant for grant in grants if grant.kind == "daily" and grant.expires_at == allowance.next_at]
    return Daily(
        amount=allowance.credits,
        remaining=sum((grant.remaining for grant in today), Decimal(0)),
        resets_at=allowance.next_at,
    )


def pace_of(days: Sequence[tuple[date, Decimal]], *, available: Decimal) -> Pace:
    """The mean of the days since the first use; days before it say nothing about the pace."""
    used = [amount for _, amount in days]
    first = next((index for index, amount in enumerate(used) if amount), len(used))
    total = sum(used, Decimal(0))
    a_day = (total / (len(used) - first)).quantize(Decimal("0.01")) if first < len(used) else Decimal(0)
    return Pace(a_day=a_day, total=total, days_left=int(available / a_day) if a_day else None)
