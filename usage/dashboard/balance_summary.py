"""An account's credits as its pages show them: balance, grants in spending order.

Invariant: balances come from `billing.ledger.balance`, which settles the account first; this module adds up
only figures that are shown together on one page.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import cast

from accounts.models import Account
from billing import ledger
from billing.models import Grant
from billing.subscriptions import plan_terms
from usage import entitlements, insufficient_credits, selectors

EXPIRY_WARNING = timedelta(days=7)
MAX_UPGRADES = 2  # upgrades offered on the dashboard
LITTLE = Decimal(1)  # a balance below it is shown with the ways to get more


@dataclass(frozen=True)
class GrantLine:
    """A grant in force, as of `now`."""

    grant: ledger.GrantInForce
    now: datetime

    @property
    def expires_soon(self) -> bool:
        """Whether credits will be lost within EXPIRY_WARNING. Daily credits are renewed and never count."""
        expires_at = self.grant.expires_at
        return (
            self.grant.kind != Grant.Kind.DAILY
            and self.grant.remaining > 0
            and expires_at is not None
            and expires_at - self.now <= EXPIRY_WARNING
        )


@dataclass(frozen=True)
class BalanceSummary:
    """What the account has and what will change next. `balance` is the ledger's result.

    `options` are those of `insufficient_credits.options` when few credits are available, else empty.
    `legacy`: the account cannot return to its plan once it has left it.
    """

    balance: ledger.Balance
    lines: list[GrantLine]
    unlimited: list[str]
    options: list[insufficient_credits.WayOn]
    legacy: bool = False

    @property
    def is_little(self) -> bool:
        """Whether less than LITTLE is available to every service."""
        return self.balance.available < LITTLE

    @property
    def upgrades(self) -> list[insufficient_credits.WayOn]:
        """The nearest larger plans, at most MAX_UPGRADES; none for a plan that cannot be entered again."""
        if self.legacy:
            return []
        return [option for option in self.options if option["kind"] == "upgrade"][:MAX_UPGRADES]

    @property
    def packs_offered(self) -> bool:
        return any(option["kind"] == "buy" for option in self.options)

    @property
    def composition(self) -> list[tuple[str, Decimal]]:
        """Kind and remaining credits of each grant that has any."""
        return [(line.grant.kind, line.grant.remaining) for line in self.lines if line.grant.remaining]

    @property
    def limited(self) -> Decimal:
        """Credits that only some services can spend."""
        return self.balance.limited

    @property
    def expiring(self) -> ledger.GrantInForce | None:
        """The grant that expires first within EXPIRY_WARNING."""
        expiring = (line.grant for line in self.lines if line.expires_soon)
        return min(expiring, key=lambda grant: grant.expires_at or self.balance.as_of, default=None)

    @property
    def next_credits_at(self) -> datetime | None:
        """When the account gets credits without buying any, as `ways_on`. None while `options` is empty."""
        waits = [
            cast(insufficient_credits.Wait, option) for option in self.options if option["kind"] == "wait"
        ]
        return min((datetime.fromisoformat(wait["until"]) for wait in waits), default=None)


def summarize(account: Account, now: datetime) -> BalanceSummary:
    """The account's credits as of now. Settles the account."""
    balance = ledger.balance(account.pk, now)
    unlimited = sorted(entitlements.unlimited_services(account.pk))
    is_short = balance.available < LITTLE or balance.low
    return BalanceSummary(
        balance=balance,
        lines=[GrantLine(grant=grant, now=now) for grant in balance.grants],
        unlimited=list(selectors.service_names(unlimited).values()),
        options=insufficient_credits.options(account.pk, now) if is_short else [],
        legacy=plan_terms.get(account.pk).legacy,
    )


def settle(account: Account, now: datetime) -> None:
    """Settle the account before its entries are listed; one read when nothing is due."""
    ledger.settle_for_read(account.pk, now)
