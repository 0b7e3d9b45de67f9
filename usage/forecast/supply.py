"""The credits that an account has and will get: grants in force, allowances, automatic top-ups.

Invariants: only credits that every service can spend count; an allowance brings credits as long as its plan
goes on, and then those of the plan that follows; periods begin when the ledger's do (20_periods.sql): days at
local midnight, months counted from their anchor; nothing is written.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from django.db.models import Q

from accounts import zones
from accounts.models import Account
from billing import ledger, selectors, validity
from billing.models import Allowance, Grant, Subscription
from billing.purchases import top_up_settings
from billing.subscriptions import following_plan, grace, plan_terms
from billing.subscriptions.following_plan import FollowingPlan

# the ledger's priorities of credits (ledger_default_priority)
PRIORITIES: dict[str, int] = {Grant.Kind.DAILY: 10, Grant.Kind.PLAN: 20}
OTHER_PRIORITY = 30
PACK_PRIORITY = 40  # of credits that were bought


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
    """Credits that an allowance grants in each period, the next time at `next_at`.

    `replaced`: another plan begins at `ends_at`, so that what is left of the running period expires then.
    """

    terms: Allowance
    zone: ZoneInfo
    next_at: datetime
    ends_at: datetime | None
    replaced: bool = False

    def lot(self) -> Lot:
        """The credits of the period that begins now; moves to the next period."""
        started, lasts = self.next_at, self.terms.lasts
        self.next_at = self._end_of_period(started)
        expires_at = validity.ends_at(lasts, started) if lasts != "period" else self.next_at
        if lasts == "period" and self.replaced and self.ends_at:
            expires_at = min(self.next_at, self.ends_at)
        return Lot(self.terms.label, self.terms.kind, self.terms.credits, expires_at, self.terms.priority)

    def _end_of_period(self, started: datetime) -> datetime:
        if self.terms.period == Allowance.Period.DAY:
            return zones.midnight(started.astimezone(self.zone).date() + timedelta(days=1), self.zone)
        anchor = self.terms.anchor_at
        return validity.add_months(anchor, validity.months_since(anchor, started) + 1)

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
    """All of an account's present and future credits, and the debt that new credits repay first.

    `following`: the plan that begins after the paid period; its allowances are among the renewals.
    """

    lots: list[Lot]
    renewals: list[Renewal] = field(default_factory=list)
    top_ups: TopUps | None = None
    debt: Decimal = Decimal(0)
    following: FollowingPlan | None = None

    def copy(self) -> "Supply":
        """An independent copy, to be used up by one projection."""
        return Supply(
            [replace(lot) for lot in self.lots],
            [replace(renewal) for renewal in self.renewals],
            replace(self.top_ups) if self.top_ups else None,
            self.debt,
            self.following,
        )


def of(account: Account, balance: ledger.Balance, now: datetime) -> Supply:
    """The account's supply from `now` on."""
    grants = [grant for grant in balance.grants if grant.services is None]
    priorities = dict(
        Grant.objects.filter(account_id=account.pk, open=True).values_list("pk", "priority") if grants else ()
    )
    lots = [
        Lot(grant.label, grant.kind, grant.remaining, grant.expires_at, priorities.get(grant.id, 0))
        for grant in grants
    ]
    renewals, following = _renewals(account, now)
    return Supply(lots, renewals, _top_ups(account, now), balance.debt, following)


def _renewals(account: Account, now: datetime) -> tuple[list[Renewal], FollowingPlan | None]:
    """The account's recurring allowances, and the plan that follows the present one.

    Those of a plan that is renewed go on after its paid period; those of a plan that another one follows end
    where that one begins.
    """
    running = Q(ends_at=None) | Q(ends_at__gt=now)
    allowances = Allowance.objects.filter(
        running, account=account, services=None, next_at__gt=now, credits__gt=0
    ).exclude(period=Allowance.Period.ONCE)
    zone = ZoneInfo(account.zone)
    renewals = {
        terms.key: Renewal(terms, zone, terms.next_at, terms.ends_at) for terms in allowances if terms.next_at
    }
    paid = plan_terms.get(account.pk).paid or any(renewal.ends_at for renewal in renewals.values())
    subscription = selectors.subscription_of(account.pk) if paid else None
    if subscription is None:
        return list(renewals.values()), None
    following = following_plan.of(subscription, now)
    if following is not None:
        return [*_until(following, subscription, renewals), *_first_of(following, zone)], following
    if grace.is_renewed(subscription):
        for renewal in renewals.values():
            renewal.ends_at = None
    return list(renewals.values()), None


def _until(
    following: FollowingPlan, subscription: Subscription, renewals: dict[str, Renewal]
) -> list[Renewal]:
    """The renewals of the present plan. Those that the ledger has of the following one are left out."""
    is_other = following.plan.key != subscription.plan
    own = [
        renewal
        for key, renewal in renewals.items()
        if not (is_other and key.startswith(f"{following.plan.key}:"))
    ]
    for renewal in own:
        renewal.ends_at = min(renewal.ends_at or following.at, following.at)
        renewal.replaced = is_other
    return own


def _first_of(following: FollowingPlan, zone: ZoneInfo) -> list[Renewal]:
    """The recurring allowances of the following plan, from its beginning on."""
    return [
        Renewal(
            Allowance(
                label=terms.label,
                kind=terms.kind,
                credits=terms.credits,
                period=terms.period,
                lasts=terms.lasts,
                priority=_priority(terms),
                anchor_at=terms.anchor_at,
            ),
            zone,
            following.at,
            None,
        )
        for terms in following.terms
        if terms.period != Allowance.Period.ONCE and terms.services is None and terms.credits > 0
    ]


def _priority(terms: ledger.AllowanceTerms) -> int:
    if terms.priority is not None:
        return terms.priority
    return PRIORITIES.get(terms.kind, OTHER_PRIORITY)


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
