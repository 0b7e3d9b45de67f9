"""Ranges of whole local days over which pages add up charges.

Invariant: a day is a day of the account's time zone, whatever the server's zone.
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from accounts import zones
from accounts.models import Account

MAX_DAYS = 366  # the longest range that one page adds up


@dataclass(frozen=True)
class Period:
    """Whole local days of an account, both ends included."""

    first: date
    last: date
    zone: ZoneInfo

    @property
    def start(self) -> datetime:
        return zones.midnight(self.first, self.zone)

    @property
    def end(self) -> datetime:
        """The instant after the last day (excluded)."""
        return zones.midnight(self.last + timedelta(days=1), self.zone)

    @property
    def before(self) -> "Period":
        """The period of as many days that ends where this one begins."""
        length = self.last - self.first + timedelta(days=1)
        return Period(first=self.first - length, last=self.last - length, zone=self.zone)

    @property
    def days(self) -> list[date]:
        return [self.first + timedelta(days=n) for n in range((self.last - self.first).days + 1)]


def latest_days(account: Account, *, days: int, now: datetime) -> Period:
    """The period of `days` local days (at most MAX_DAYS) that ends today."""
    zone = ZoneInfo(account.zone)
    today = now.astimezone(zone).date()
    return Period(first=today - timedelta(days=min(days, MAX_DAYS) - 1), last=today, zone=zone)


def month_to_date(account: Account, *, now: datetime) -> Period:
    """The period from the first day of the local calendar month to today."""
    zone = ZoneInfo(account.zone)
    today = now.astimezone(zone).date()
    return Period(first=today.replace(day=1), last=today, zone=zone)
