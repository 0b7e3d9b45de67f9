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

from django.db.models import OuterRef, QuerySet, Subquery
from django.utils.text import capfirst, get_text_list
from django.utils.translation import gettext as _

from accounts.models import Account
from billing import ledger
from billing.models import Charge, Grant, Wallet
from usage import entitlements, insufficient_credits
from usage.dashboard import statistics

SOON = timedelta(days=7)


@dataclass(frozen=True)
class GrantLine:
    """A grant in force and whether it is about to expire."""

    grant: Grant
    now: datetime

    @property
    def soon(self) -> bool:
        """Daily credits come again: their end is no loss worth a warning."""
        ends = self.grant.expires_at
        return self.grant.kind != Grant.Kind.DAILY and ends is not None and ends - self.now <= SOON

    @property
    def services_text(self) -> str:
        """What the grant pays for: "Advanced and multimodal models only"."""
        tags, keys = [], []
        for scope in self.grant.services or ():
            if scope.startswith("tag:"):
                tags.append(scope.removeprefix("tag:"))
            else:
                keys.append(scope)
        services = list(statistics.service_names(keys).values())
        if tags:
            services.append(_("%(tags)s models") % {"tags": get_text_list(tags, _("and"))})
        return capfirst(_("%(services)s only") % {"services": get_text_list(services, _("and"))})


@dataclass(frozen=True)
class Standing:
    """What the account has and what is about to change. `balance` is the ledger's own answer."""

    balance: ledger.Balance
    lines: list[GrantLine]
    unlimited: list[str]
    ways: list[dict[str, Any]]
    """The ways on, when nothing is left; empty while there is something."""

    @property
    def upgrades(self) -> list[dict[str, Any]]:
        """The nearest larger plans: two are a choice, more a catalogue."""
        return [way for way in self.ways if way["kind"] == "upgrade"][:2]

    @property
    def packs_offered(self) -> bool:
        return any(way["kind"] == "buy" for way in self.ways)

    @property
    def composition(self) -> list[tuple[str, Decimal]]:
        return [(line.grant.kind, line.grant.remaining) for line in self.lines if line.grant.remaining]

    @property
    def limited(self) -> Decimal:
        """Credits that only some services can spend."""
        return self.balance.total - self.balance.available

    @property
    def expiring(self) -> Grant | None:
        """What will be lost first within a week."""
        soon = (line.grant for line in self.lines if line.soon)
        return min(soon, key=lambda grant: grant.expires_at or self.balance.as_of, default=None)

    @property
    def next_credits_at(self) -> datetime | None:
        """When credits come again by themselves."""
        return self.balance.allowances[0].next_at if self.balance.allowances else None


@dataclass(frozen=True)
class Pace:
    """How fast credits go, and how long what is there lasts at that pace."""

    a_day: Decimal
    total: Decimal
    days_left: int | None


def version_of(account: Account, now: datetime) -> str:
    """A word that changes with every movement and every use, those that cost nothing included (they move no
    credits, so that the wallet does not know of them); empty while something is due and not yet booked."""
    row = (
        Wallet.objects.filter(account=account)
        .annotate(newest_charge=Subquery(_newest_charge(OuterRef("account_id"))))
        .values_list("seq", "next_due_at", "newest_charge")
        .first()
    )
    if row is None or (row[1] is not None and row[1] <= now):
        return ""
    return _version(row[0], row[2])


def version_after(balance: ledger.Balance) -> str:
    """The version that a page with this balance has seen."""
    return _version(balance.version, next(iter(_newest_charge(balance.account_id)), None))


def _newest_charge(account_id: Any) -> QuerySet[Charge, UUID]:
    """The id of the account's newest charge: one step of the index (account, created_at)."""
    rows = Charge.objects.filter(account_id=account_id).order_by("-created_at", "-pk")
    return rows.values_list("pk", flat=True)[:1]


def _version(seq: int, newest_charge: UUID | None) -> str:
    return f"{seq}.{newest_charge.hex[-12:]}" if newest_charge else str(seq)


def settle(account: Account, now: datetime) -> None:
    """Book what is due, so that what is listed next is the present; one read when nothing is due."""
    if not version_of(account, now):
        ledger.settle([account.pk], now)


def standing_of(account: Account, now: datetime) -> Standing:
    """The account's credits as of now. Settles what is due."""
    balance = ledger.balance(account.pk, now)
    unlimited = sorted(entitlements.unlimited_services(account.pk))
    return Standing(
        balance=balance,
        lines=[GrantLine(grant=grant, now=now) for grant in balance.grants],
        unlimited=list(statistics.service_names(unlimited).values()),
        ways=[] if balance.available else insufficient_credits.ways_on(account.pk, now),
    )


def pace_of(days: Sequence[tuple[date, Decimal]], *, available: Decimal) -> Pace:
    """The mean of the days since the first use; days before it say nothing about the pace."""
    used = [amount for _, amount in days]
    first = next((index for index, amount in enumerate(used) if amount), len(used))
    total = sum(used, Decimal(0))
    a_day = (total / (len(used) - first)).quantize(Decimal("0.01")) if first < len(used) else Decimal(0)
    return Pace(a_day=a_day, total=total, days_left=int(available / a_day) if a_day else None)
