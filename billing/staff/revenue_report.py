"""The money side of the books, by month and currency: sold, earned, breakage, refunded, disputed, still owed.

Invariant: for every currency sold = earned + breakage + refunded + disputed + owed, to the last minor unit:
each purchase's money is divided by what became of its credits, cumulatively, so that no rounding is lost.
A pack is earned as its credits are spent; a plan day by day over the period that was paid.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import ROUND_FLOOR, Decimal
from typing import Any
from uuid import UUID

from django.db.models import Sum
from django.db.models.functions import TruncMonth

from billing import validity
from billing.models import Dispute, Entry, Purchase, Refund

_SPENT = {Entry.Kind.CHARGE, Entry.Kind.REVERSE, Entry.Kind.REPAY}
_LOST = {Entry.Kind.EXPIRE, Entry.Kind.ADJUST}
COLUMNS = ("sold", "earned", "breakage", "refunded", "disputed")


@dataclass
class Row:
    """One month of one currency, in minor units. `owed` is what customers had not used by its end."""

    month: datetime
    currency: str
    sold: int = 0
    earned: int = 0
    breakage: int = 0
    refunded: int = 0
    disputed: int = 0
    owed: int = 0


@dataclass
class _Book:
    """One purchase by months: changes of its credits, and money that went back."""

    purchase: Purchase
    spent: dict[datetime, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    lost: dict[datetime, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    left: dict[datetime, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    refunded: dict[datetime, int] = field(default_factory=lambda: defaultdict(int))
    disputed: dict[datetime, int] = field(default_factory=lambda: defaultdict(int))


def report(now: datetime) -> list[Row]:
    """Every month from the first payment until now, newest first, each currency by itself."""
    books = _books()
    rows: dict[tuple[datetime, str], Row] = {}
    if books:
        first = min(validity.month_of(book.purchase.paid_at or now) for book in books.values())
        months = list(_months(first, now))
        for book in books.values():
            _add(rows, book, months, now)
        _owe(rows, months)
    return sorted(rows.values(), key=lambda row: (row.month, row.currency), reverse=True)


def totals(rows: Iterable[Row]) -> dict[str, dict[str, int]]:
    """By currency over all months; `owed` as of the newest."""
    sums: dict[str, dict[str, int]] = defaultdict(lambda: dict.fromkeys((*COLUMNS, "owed"), 0))
    for row in sorted(rows, key=lambda one: one.month):
        for name in COLUMNS:
            sums[row.currency][name] += getattr(row, name)
        sums[row.currency]["owed"] = row.owed
    return dict(sums)


def _books() -> dict[UUID, _Book]:
    paid = Purchase.objects.filter(status=Purchase.Status.PAID, amount__gt=0).order_by("paid_at")
    books = {purchase.pk: _Book(purchase) for purchase in paid}
    moved = Entry.objects.filter(grant__purchase_id__in=paid.filter(kind=Purchase.Kind.PACK).values("pk"))
    months = moved.annotate(month=TruncMonth("created_at", tzinfo=UTC))
    for purchase_id, month, kind, credits in months.values_list(
        "grant__purchase_id", "month", "kind"
    ).annotate(sum=Sum("credits")):
        book = books[purchase_id]
        if kind in _SPENT:
            book.spent[month] -= credits
        elif kind in _LOST:
            book.lost[month] -= credits
        if kind not in {Entry.Kind.HOLD, Entry.Kind.RELEASE}:  # set aside is still the customer's
            book.left[month] += credits
    gone = Refund.objects.filter(purchase__in=books, decided_at__isnull=False)
    for refund in gone.exclude(status__in=[Refund.Status.REFUSED, Refund.Status.FAILED]):
        books[refund.purchase_id].refunded[validity.month_of(_at(refund.decided_at))] += refund.amount
    for dispute in Dispute.objects.filter(purchase__in=books, status=Dispute.Status.LOST):
        books[dispute.purchase_id].disputed[validity.month_of(_at(dispute.closed_at))] += dispute.amount
    return books


def _add(rows: dict[tuple[datetime, str], Row], book: _Book, months: list[datetime], now: datetime) -> None:
    """Divide one purchase's money month by month: each month gets what the sums to its end grew by."""
    purchase = book.purchase
    before = dict.fromkeys(COLUMNS, 0)
    started = validity.month_of(_at(purchase.paid_at))
    for month in (one for one in months if one >= started):
        until = min(validity.add_months(month, 1), now)
        after = _sums(book, month, until)
        row = rows.setdefault((month, purchase.currency), Row(month, purchase.currency))
        for name in COLUMNS:
            setattr(row, name, getattr(row, name) + after[name] - before[name])
        before = after


def _sums(book: _Book, month: datetime, until: datetime) -> dict[str, int]:
    """What has become of a purchase's money by the end of a month."""
    amount = book.purchase.amount
    refunded, disputed = _upto(book.refunded, month), _upto(book.disputed, month)
    kept = max(amount - refunded - disputed, 0)
    if book.purchase.kind == Purchase.Kind.PLAN or not book.purchase.credits:
        earned, breakage = min(_elapsed(book.purchase, until), kept), 0
    else:
        price = Decimal(amount) / book.purchase.credits
        breakage = min(_whole(price * _upto(book.lost, month)), kept)
        # Spent credits whose money went back were not earned after all.
        earned = min(_whole(price * _upto(book.spent, month)), kept - breakage)
        if _upto(book.left, month) == 0:  # nothing is owed any more: what rounding left over is earned
            earned = kept - breakage
    return {
        "sold": amount,
        "earned": earned,
        "breakage": breakage,
        "refunded": refunded,
        "disputed": min(disputed, amount - refunded),
    }


def _elapsed(purchase: Purchase, until: datetime) -> int:
    """The part of a plan's payment whose time has passed."""
    start, end = purchase.period_start or _at(purchase.paid_at), purchase.period_end
    if end is None or until >= end:
        return purchase.amount
    passed = max((until - start).total_seconds(), 0)
    return _whole(Decimal(purchase.amount) * Decimal(passed) / Decimal((end - start).total_seconds()))


def _owe(rows: dict[tuple[datetime, str], Row], months: list[datetime]) -> None:
    for currency in {currency for _month, currency in rows}:
        owed = 0
        for month in months:
            row = rows.setdefault((month, currency), Row(month, currency))
            owed += row.sold - row.earned - row.breakage - row.refunded - row.disputed
            row.owed = owed


def _months(first: datetime, now: datetime) -> Iterable[datetime]:
    month = first
    while month <= now:
        yield month
        month = validity.add_months(month, 1)


def _upto(by_month: dict[datetime, Any], month: datetime) -> Any:
    return sum(value for at, value in by_month.items() if at <= month)


def _whole(amount: Decimal) -> int:
    return int(amount.to_integral_value(ROUND_FLOOR))


def _at(moment: datetime | None) -> datetime:
    assert moment is not None
    return moment
