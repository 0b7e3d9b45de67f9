"""The charts of the admin's first page: money received and returned on each of the last 30 days, by currency.

Invariants: a day is of UTC, as in the revenue report; amounts are in minor units until they are shown; both
queries use an index on the time of payment or decision.
"""

import json
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.db.models import Count, Sum
from django.db.models.functions import TruncDate
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from billing.models import Purchase, Refund
from core import currencies
from core.templatetags.money import money

DAYS = 30
MOST_CURRENCIES = 3


@dataclass(frozen=True)
class Day:
    """A row of the table beside the chart."""

    label: str
    received: str
    returned: str


@dataclass(frozen=True)
class Chart:
    """`data` is JSON for Chart.js, with amounts as texts."""

    title: str
    summary: str
    data: str
    days: list[Day]


def of_money(now: datetime) -> list[Chart]:
    """A chart for each of the currencies with the most payments, at most MOST_CURRENCIES."""
    last = now.astimezone(UTC).date()
    days = [last - timedelta(days=DAYS - 1 - number) for number in range(DAYS)]
    since = datetime.combine(days[0], datetime.min.time(), UTC)
    paid = Purchase.objects.filter(status=Purchase.Status.PAID, paid_at__gte=since)
    refunds = Refund.objects.filter(
        decided_at__gte=since, status__in=(Refund.Status.PENDING, Refund.Status.DONE)
    )
    received = _by_day(paid, "paid_at", "currency")
    returned = _by_day(refunds, "decided_at", "currency")
    payments = paid.values_list("currency").annotate(number=Count("pk")).order_by("-number", "currency")
    names = [currency for currency, _number in payments]
    names += sorted({currency for currency, _day in returned} - set(names))
    return [_chart(currency, days, received, returned) for currency in names[:MOST_CURRENCIES]]


def _by_day(rows: Any, at: str, currency: str) -> dict[tuple[str, date], int]:
    days = rows.annotate(day=TruncDate(at, tzinfo=UTC)).values_list(currency, "day")
    sums: dict[tuple[str, date], int] = defaultdict(int)
    sums.update({(name, day): amount for name, day, amount in days.annotate(sum=Sum("amount")).order_by()})
    return sums


def _chart(
    currency: str,
    days: list[date],
    received: dict[tuple[str, date], int],
    returned: dict[tuple[str, date], int],
) -> Chart:
    ins = [received[currency, day] for day in days]
    outs = [returned[currency, day] for day in days]
    labels = [date_format(day, "j M") for day in days]
    bars = [
        (_("Received"), ins, "var(--color-primary-600)"),
        (_("Refunded"), outs, "var(--color-primary-300)"),
    ]
    datasets = [
        {
            "label": label,
            "data": [str(currencies.to_major(amount, currency)) for amount in amounts],
            "backgroundColor": color,
        }
        for label, amounts, color in bars
    ]
    return Chart(
        title=_("Payments in %(currency)s, last %(days)d days")
        % {"currency": currency.upper(), "days": DAYS},
        summary=_("%(received)s received, %(returned)s refunded")
        % {"received": money(sum(ins), currency), "returned": money(sum(outs), currency)},
        data=json.dumps({"labels": labels, "datasets": datasets}),
        days=[
            Day(label, money(received_there, currency), money(returned_there, currency))
            for label, received_there, returned_there in zip(labels, ins, outs, strict=True)
        ],
    )
