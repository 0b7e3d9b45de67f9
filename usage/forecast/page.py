"""What the forecast page shows: the projection of the balance with its range, and what happens when.

Invariant: the projection at the present pace includes automatic top-ups as they are set; the range is that
of the quietest and the busiest week, and without it there is only the one projection.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from django.utils import formats

from accounts.models import Account
from billing import ledger
from billing.ledger import Balance
from usage import periods
from usage.dashboard import aggregates
from usage.forecast import pace, projection, supply
from usage.forecast.pace import Pace, PriceChange
from usage.forecast.projection import Event, Kind, Projection

DAYS = 60
MOST_EVENTS = 100  # listed on the page

Line = list[tuple[Decimal, Decimal]]


@dataclass(frozen=True)
class Forecast:
    """The next DAYS days of an account's balance.

    `earliest` and `latest` are the projections of the busiest and of the quietest week; None without a range.
    """

    balance: Balance
    pace: Pace
    until: datetime
    projection: Projection
    earliest: Projection | None
    latest: Projection | None
    price_changes: list[PriceChange]
    zone: ZoneInfo

    @property
    def events(self) -> list[Event]:
        """The events of the projection without those of daily allowances, which are stated once."""
        return [event for event in self.projection.events if event.grant_kind != "daily"][:MOST_EVENTS]

    @property
    def unused(self) -> Decimal:
        """Credits that expire unused, those of daily allowances excluded."""
        return sum((event.credits for event in self.projection.expiring), Decimal(0))

    @property
    def top_ups(self) -> int:
        """How many packs automatic top-up buys."""
        return sum(event.kind is Kind.TOP_UP for event in self.projection.events)

    @property
    def lines(self) -> list[Line]:
        """The projection, and the two that bound its range, as points of the chart."""
        projections = [self.projection, *(bound for bound in (self.earliest, self.latest) if bound)]
        return [self._line(shown) for shown in projections]

    @property
    def labels(self) -> list[tuple[Decimal, str]]:
        """A date for every tenth day, below the chart."""
        start = self.balance.as_of
        days = range(0, DAYS, 10)
        local = [(start + timedelta(days=day)).astimezone(self.zone) for day in days]
        return [
            (Decimal(day) / DAYS, formats.date_format(date, "MONTH_DAY_FORMAT"))
            for day, date in zip(days, local, strict=True)
        ]

    def _line(self, shown: Projection) -> Line:
        """A point for each whole day from now and those of events; a daily refresh makes no corner."""
        start, whole = self.balance.as_of, self.until - self.balance.as_of
        corners = {event.at for event in shown.events if event.grant_kind != "daily"}
        return [
            (Decimal((at - start) / whole), max(left, Decimal(0)))
            for at, left in shown.points
            if at in corners or not (at - start) % timedelta(days=1)
        ]


def of(account: Account, now: datetime) -> Forecast:
    """The forecast at the pace of the last pace.DAYS days. Settles the account."""
    balance = ledger.balance(account.pk, now)
    period = periods.latest_days(account, days=pace.DAYS, now=now)
    present = pace.of(aggregates.daily_totals(account, period))
    credits = supply.of(account, balance, now)
    until = now + timedelta(days=DAYS)
    changes = pace.announced(account, now=now, until=until)

    def projection_at(per_day: Decimal | None) -> Projection | None:
        if per_day is None:
            return None
        return projection.run(credits, pace.rates(per_day, changes, now), now=now, until=until)

    present_projection = projection_at(present.per_day)
    assert present_projection is not None
    return Forecast(
        balance=balance,
        pace=present,
        until=until,
        projection=present_projection,
        earliest=projection_at(present.high),
        latest=projection_at(present.low),
        price_changes=changes,
        zone=period.zone,
    )
