"""Credits that all accounts spent by hour: stored by a task, read for the chart of the admin's first page.

Spent are the charges of the ledger less what reversals returned to the grants, each in the hour (UTC) of its
entry.
Invariants: a stored hour is the sum of its entries; hours are stored without gaps, each after it has ended,
and again while a transaction that began in it could still run (AGAIN). Every statement reads the entries of a
day at most, by their index on the time, so that it does not matter how many there are.
"""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from django.db import connection
from django.db.models import Max, Sum
from django.db.models.functions import TruncDate

from usage.models import SpentHour

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
SINCE = timedelta(days=31)  # before the first run
AGAIN = 2 * HOUR
BEHIND = 3 * HOUR  # what a page sums by itself

_BY_HOUR = """
select date_trunc('hour', created_at, 'UTC'), -sum(credits) from billing_entry
 where created_at >= %s and created_at < %s and kind in ('charge', 'reverse') group by 1
"""


def store(now: datetime) -> int:
    """Store the hours that have ended. Returns how many."""
    end = _hour_of(now)
    newest = SpentHour.objects.filter(hour__lt=end).aggregate(hour=Max("hour"))["hour"]
    if newest == end - HOUR:
        return 0
    begin = newest + HOUR - AGAIN if newest else end - SINCE
    number = 0
    while begin < end:
        until = min(begin + DAY, end)
        found = _by_hour(begin, until)
        hours = [begin + count * HOUR for count in range((until - begin) // HOUR)]
        SpentHour.objects.bulk_create(
            [SpentHour(hour=hour, credits=found.get(hour, Decimal(0))) for hour in hours],
            update_conflicts=True,
            unique_fields=["hour"],
            update_fields=["credits"],
        )
        begin, number = until, number + len(hours)
    return number


def by_day(since: datetime, now: datetime) -> dict[date, Decimal] | None:
    """Spent credits by day (UTC), the present hour included. None while the task is behind."""
    newest = SpentHour.objects.filter(hour__lt=_hour_of(now)).aggregate(hour=Max("hour"))["hour"]
    if newest is None or now - newest > BEHIND + HOUR:
        return None
    stored = SpentHour.objects.filter(hour__gte=since, hour__lte=newest)
    days = stored.annotate(day=TruncDate("hour", tzinfo=UTC)).values_list("day")
    sums: dict[date, Decimal] = dict(days.annotate(sum=Sum("credits")).order_by())
    for hour, credits in _by_hour(newest + HOUR, now + HOUR).items():
        sums[hour.date()] = sums.get(hour.date(), Decimal(0)) + credits
    return sums


def _by_hour(begin: datetime, until: datetime) -> dict[datetime, Decimal]:
    with connection.cursor() as cursor:
        cursor.execute(_BY_HOUR, [begin, until])
        return {hour.astimezone(UTC): credits for hour, credits in cursor.fetchall()}


def _hour_of(now: datetime) -> datetime:
    return now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
