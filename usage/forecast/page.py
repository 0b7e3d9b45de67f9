"""What the forecast page shows: the course of the balance with its range, and what happens when.

Invariant: the course at the present pace includes automatic top-ups as they are set; the range is that of the
quietest and the busiest week, and without it there is only the one course.
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
from usage.forecast import course, pace, supply
from usage.forecast.course import Course, Event, Kind
from usage.forecast.pace import Pace, PriceChange

DAYS = 60
PACE_DAYS = 30
MOST_EVENTS = 100  # listed on the page

Line = list[tuple[Decimal, Decimal]]


@dataclass(frozen=True)
class Forecast:
    """The next DAYS days of an account's balance.

    `earliest` and `latest` are the courses of the busiest and of the quietest week; None without a range.
    """

    balance: Balance
    pace: Pace
    until: datetime
    course: Course
    earliest: Course | None
    latest: Course | None
    price_changes: list[PriceChange]
    zone: ZoneInfo

    @property
    def events(self) -> list[Event]:
        """The events of the course without those of daily allowances, which are stated once."""
        return [event for event in self.course.events if event.grant_kind != "daily"][:MOST_EVENTS]

    @property
    def unused(self) -> Decimal:
        """Credits that expire unused, those of daily allowances excluded."""
        return sum((event.credits for event in self.course.expiring), Decimal(0))

    @property
    def top_ups(self) -> int:
        """How many packs automatic top-up buys."""
        return sum(event.kind is Kind.TOP_UP for event in self.course.events)

    @property
    def lines(self) -> list[Line]:
        """The course, and the two that bound its range, as points of the chart."""
        courses = [self.course, *(bound for bound in (self.earliest, self.latest) if bound)]
        return [self._line(shown) for shown in courses]

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

    def _line(self, shown: Course) -> Line:
        """A point for each whole day from now and those of events; a daily refresh makes no corner."""
        start, whole = self.balance.as_of, self.until - self.balance.as_of
        corners = {event.at for event in shown.events if event.grant_kind != "daily"}
        return [
            (Decimal((at - start) / whole), max(left, Decimal(0)))
            for at, left in shown.points
            if at in corners or not (at - start) % timedelta(days=1)
        ]


def of(account: Account, now: datetime) -> Forecast:
    """The forecast at the pace of the last PACE_DAYS days. Settles the account."""
    balance = ledger.balance(account.pk, now)
    period = periods.latest_days(account, days=PACE_DAYS, now=now)
    present = pace.of(aggregates.daily_totals(account, period))
    credits = supply.of(account, balance, now)
    until = now + timedelta(days=DAYS)
    changes = pace.announced(account, now=now, until=until)

    def course_at(per_day: Decimal | None) -> Course | None:
        if per_day is None:
            return None
        return course.run(credits, pace.rates(per_day, changes, now), now=now, until=until)

    present_course = course_at(present.per_day)
    assert present_course is not None
    return Forecast(
        balance=balance,
        pace=present,
        until=until,
        course=present_course,
        earliest=course_at(present.high),
        latest=course_at(present.low),
        price_changes=changes,
        zone=period.zone,
    )
