"""The credits that an account has and will get: grants in force, allowances, automatic top-ups.

Invariants: only credits that every service can spend count; an allowance brings credits as long as its plan
goes on; nothing is written.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal

from django.db.models import Q

from accounts.models import Account
from billing import ledger, selectors, validity
from billing.models import Allowance, Grant
from billing.purchases import top_up_settings
from billing.subscriptions import grace

_DAY = timedelta(days=1)
PACK_PRIORITY = 40  # the ledger's for credits that were bought


@dataclass
class Lot:
    """Credits that are spent together and expire together."""

    label: str
    kind: str
    remaining: Decimal
    expires_at: datetime | None
    priority: int


@dataclass
class Renewal:
    """Credits that an allowance grants at `next_at`, the `count`-th time from now."""

    terms: Allowance
    next_at: datetime
    ends_at: datetime | None
    count: int = 0

    def lot(self) -> Lot:
        """The credits of the period that begins now; moves to the next period."""
        started = self.next_at
        self.count += 1
        assert self.terms.next_at is not None, "allowances without a next period are left out"
        if self.terms.period == Allowance.Period.DAY:
            self.next_at = self.terms.next_at + self.count * _DAY
        else:
            self.next_at = validity.add_months(self.terms.next_at, self.count)
        lasts = self.terms.lasts
        expires_at = self.next_at if lasts == "period" else validity.ends_at(lasts, started)
        return Lot(self.terms.label, self.terms.kind, self.terms.credits, expires_at, self.terms.priority)

    @property
    def is_due_before_its_end(self) -> bool:
        return self.ends_at is None or self.next_at < self.ends_at


@dataclass
class TopUps:
    """Automatic purchases of a pack when fewer than `below` credits are left, within the limits of a month.

    `bought` counts those of the calendar month (UTC) that begins at `month`.
    """

    label: str
    below: Decimal
    credits: Decimal
    lasts: str
    monthly_count: int
    month: datetime
    bought: int = 0

    def is_spent(self, at: datetime) -> bool:
        """Whether the limit of the month is reached at this instant."""
        return self.month == validity.month_of(at) and self.bought >= self.monthly_count

    def lot(self, at: datetime) -> Lot | None:
        """The credits of a purchase at this instant; None when the month's limit is reached."""
        if self.is_spent(at):
            return None
        month = validity.month_of(at)
        self.bought = self.bought + 1 if month == self.month else 1
        self.month = month
        expires_at = validity.ends_at(self.lasts, at)
        return Lot(self.label, Grant.Kind.TOP_UP, self.credits, expires_at, PACK_PRIORITY)


@dataclass
class Supply:
    """All of an account's present and future credits, and the debt that new credits repay first."""

    lots: list[Lot]
    renewals: list[Renewal] = field(default_factory=list)
    top_ups: TopUps | None = None
    debt: Decimal = Decimal(0)

    def copy(self) -> "Supply":
        """An independent copy, to be used up by one projection."""
        return Supply(
            [replace(lot) for lot in self.lots],
            [replace(renewal) for renewal in self.renewals],
            replace(self.top_ups) if self.top_ups else None,
            self.debt,
        )


def of(account: Account, balance: ledger.Balance, now: datetime, *, top_ups: bool = True) -> Supply:
    """The account's supply from `now` on; without `top_ups`, nothing is bought."""
    grants = [grant for grant in balance.grants if grant.services is None]
    priorities = dict(
        Grant.objects.filter(account_id=account.pk, open=True).values_list("pk", "priority") if grants else ()
    )
    lots = [
        Lot(grant.label, grant.kind, grant.remaining, grant.expires_at, priorities.get(grant.id, 0))
        for grant in grants
    ]
    return Supply(
        lots,
        _renewals(account, now) if balance.allowances else [],
        _top_ups(account, now) if top_ups else None,
        balance.debt,
    )


def _renewals(account: Account, now: datetime) -> list[Renewal]:
    """The account's recurring allowances. Those of a plan that is renewed go on after its paid period."""
    running = Q(ends_at=None) | Q(ends_at__gt=now)
    allowances = Allowance.objects.filter(
        running, account=account, services=None, next_at__gt=now, credits__gt=0
    ).exclude(period=Allowance.Period.ONCE)
    renewals = [Renewal(terms, terms.next_at, terms.ends_at) for terms in allowances if terms.next_at]
    if any(renewal.ends_at for renewal in renewals):
        subscription = selectors.subscription_of(account.pk)
        if subscription is not None and grace.is_renewed(subscription):
            for renewal in renewals:
                renewal.ends_at = None
    return renewals


def _top_ups(account: Account, now: datetime) -> TopUps | None:
    """Automatic top-up, while it is switched on, not paused, and its pack is sold."""
    settings = top_up_settings.get(account.pk)
    consent = top_up_settings.consent(settings, now)
    if consent is None or settings.suspended_card or not settings.below:
        return None
    spent, bought = top_up_settings.spent_this_month(account.pk, settings.currency, now)
    affordable = settings.monthly_amount // consent.offer.amount if consent.offer.amount else 0
    pack = consent.offer.pack
    return TopUps(
        label=pack.name,
        below=settings.below,
        credits=pack.credits,
        lasts=pack.lasts,
        monthly_count=min(settings.monthly_count, affordable),
        month=validity.month_of(now),
        bought=max(bought, -(-spent // consent.offer.amount)),
    )
