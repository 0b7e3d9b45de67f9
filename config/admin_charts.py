"""The charts of the admin's first page: money received and returned on each of the last 30 days, by currency,
and credits spent on them.

Invariants: a day is of UTC, as in the revenue report; amounts are in minor units until they are shown; the
queries of money use an index on the time of payment or decision; credits are summed by a task.
"""

import json
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import OperationalError
from django.db.models import Count, Sum
from django.db.models.functions import TruncDate
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from billing.models import Purchase, Refund
from core import currencies
from core.amounts import plain
from core.templatetags.credits import credits
from core.templatetags.money import money
from usage.sums import spent as spent_hours

DAYS = 30
MOST_CURRENCIES = 3


@dataclass(frozen=True)
class Day:
    """A row of the table beside the chart."""

    label: str
    values: list[str]  # as the columns of the chart


@dataclass(frozen=True)
class Chart:
    """`data` is JSON for Chart.js, with amounts as texts."""

    title: str
    summary: str
    data: str
    columns: list[str]
    days: list[Day]


def of_credits(now: datetime) -> list[Chart]:
    """A chart of the credits that all accounts spent; none while they are not summed yet."""
    days, since = _days(now)
    try:
        spent = spent_hours.by_day(since, now)
    except OperationalError:  # a node of the database that has some accounts does not answer
        return []
    if spent is None:
        return []
    amounts = [spent.get(day, Decimal(0)) for day in days]
    bars = [(_("Credits spent"), [plain(amount) for amount in amounts], "var(--color-primary-600)")]
    return [
        _chart(
            title=_("Credits spent, last %(days)d days") % {"days": DAYS},
            summary=_("%(credits)s credits spent") % {"credits": credits(sum(amounts, Decimal(0)))},
            days=days,
            bars=bars,
            rows=[[credits(amount)] for amount in amounts],
        )
    ]


def of_money(now: datetime) -> list[Chart]:
    """A chart for each of the currencies with the most payments, at most MOST_CURRENCIES."""
    days, since = _days(now)
    paid = Purchase.objects.filter(status=Purchase.Status.PAID, paid_at__gte=since)
    refunds = Refund.objects.filter(
        decided_at__gte=since, status__in=(Refund.Status.PENDING, Refund.Status.DONE)
    )
    received = _by_day(paid, "paid_at", "currency")
    returned = _by_day(refunds, "decided_at", "currency")
    payments = paid.values_list("currency").annotate(number=Count("pk")).order_by("-number", "currency")
    names = [currency for currency, _number in payments]
    names += sorted({currency for currency, _day in returned} - set(names))
    return [_of_currency(currency, days, received, returned) for currency in names[:MOST_CURRENCIES]]


def _days(now: datetime) -> tuple[list[date], datetime]:
    """The days of a chart, and when the first begins."""
    last = now.astimezone(UTC).date()
    days = [last - timedelta(days=DAYS - 1 - number) for number in range(DAYS)]
    return days, datetime.combine(days[0], datetime.min.time(), UTC)


def _by_day(rows: Any, at: str, currency: str) -> dict[tuple[str, date], int]:
    days = rows.annotate(day=TruncDate(at, tzinfo=UTC)).values_list(currency, "day")
    sums: dict[tuple[str, date], int] = defaultdict(int)
    sums.update({(name, day): amount for name, day, amount in days.annotate(sum=Sum("amount")).order_by()})
    return sums


def _of_currency(
    currency: str,
    days: list[date],
    received: dict[tuple[str, date], int],
    returned: dict[tuple[str, date], int],
) -> Chart:
    ins = [received[currency, day] for day in days]
    outs = [returned[currency, day] for day in days]
    bars = [
        (label, [str(currencies.to_major(amount, currency)) for amount in amounts], color)
        for label, amounts, color in (
            (_("Received"), ins, "var(--color-primary-600)"),
            (_("Refunded"), outs, "var(--color-primary-300)"),
        )
    ]
    return _chart(
        title=_("Payments in %(currency)s, last %(days)d days")
        % {"currency": currency.upper(), "days": DAYS},
        summary=_("%(received)s received, %(returned)s refunded")
        % {"received": money(sum(ins), currency), "returned": money(sum(outs), currency)},
        days=days,
        bars=bars,
        rows=[[money(amount, currency) for amount in amounts] for amounts in zip(ins, outs, strict=True)],
    )


def _chart(
    *,
    title: str,
    summary: str,
    days: list[date],
    bars: list[tuple[str, list[str], str]],
    rows: list[list[str]],
) -> Chart:
    """`bars`: label, amounts of the days, and colour of each; `rows`: the same as texts, by day."""
    labels = [date_format(day, "j M") for day in days]
    datasets = [{"label": label, "data": data, "backgroundColor": color} for label, data, color in bars]
    return Chart(
        title=title,
        summary=summary,
        data=json.dumps({"labels": labels, "datasets": datasets}),
        columns=[label for label, _data, _color in bars],
        days=[Day(label, values) for label, values in zip(labels, rows, strict=True)],
    )
