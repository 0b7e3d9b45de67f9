"""Revenue report by month and currency: sold, earned, breakage, refunded, disputed, owed.

Amounts are without tax, which stands in a column of its own.
Invariant: for every currency sold = earned + breakage + refunded + disputed + owed, to the minor unit: the
amount of each purchase is divided according to its credits, cumulatively, so that no rounding is lost. A pack
is earned as its credits are spent, a plan in proportion to the elapsed time of its paid period. What a
dispute took back is owed until the bank decides: then it is disputed, or the credits are there again.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import ROUND_FLOOR, Decimal
from typing import Any
from uuid import UUID

from django.db import connection

from billing import validity
from billing.ledger import archive
from billing.models import Dispute, Entry, Purchase, Refund
from billing.payments import taxes

_SPENT = {Entry.Kind.CHARGE, Entry.Kind.REVERSE, Entry.Kind.REPAY}
_LOST = {Entry.Kind.EXPIRE, Entry.Kind.ADJUST}
_RESERVED = {Entry.Kind.HOLD, Entry.Kind.RELEASE, Entry.Kind.TRANSFER}  # still the customer's credits
COLUMNS = ("sold", "earned", "breakage", "refunded", "disputed")

# What the entries that are not archived moved of each purchase in each month (UTC).
_MOVED = """
select g.purchase_id, date_trunc('month', e.created_at, 'UTC'), e.kind, sum(e.credits)
  from billing_entry e join billing_grant g on g.account_id = e.account_id and g.id = e.grant_id
 where g.purchase_id = any(%s) and not exists (
   select from billing_archivedwallet a where a.account_id = e.account_id and a.seq >= e.seq)
 group by 1, 2, 3
"""


@dataclass
class MonthlyRevenue:
    """A month and currency, in minor units without tax.

    `owed`: the value of credits unspent at the end of the month; `tax`: collected less given back.
    """

    month: datetime
    currency: str
    sold: int = 0
    earned: int = 0
    breakage: int = 0
    refunded: int = 0
    disputed: int = 0
    owed: int = 0
    tax: int = 0


@dataclass
class _PurchaseHistory:
    """The changes of a purchase's credits (spent, lost, left) and the money returned, by month."""

    purchase: Purchase
    spent: dict[datetime, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    lost: dict[datetime, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    left: dict[datetime, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    refunded: dict[datetime, int] = field(default_factory=lambda: defaultdict(int))
    disputed: dict[datetime, int] = field(default_factory=lambda: defaultdict(int))
    undecided_from: datetime | None = None  # the month in which a dispute began that the bank has not decided


def report(now: datetime) -> list[MonthlyRevenue]:
    """Revenue of every month from the first payment until now, newest first, for each currency."""
    histories = _histories()
    rows: dict[tuple[datetime, str], MonthlyRevenue] = {}
    if histories:
        first = min(validity.month_of(history.purchase.paid_at or now) for history in histories.values())
        months = list(_months(first, now))
        for history in histories.values():
            _add(rows, history, months, now)
        _set_owed(rows, months)
    return sorted(rows.values(), key=lambda row: (row.month, row.currency), reverse=True)


def totals(rows: Iterable[MonthlyRevenue]) -> dict[str, dict[str, int]]:
    """Sums over all months by currency; `owed` is the newest month's."""
    sums: dict[str, dict[str, int]] = defaultdict(lambda: dict.fromkeys((*COLUMNS, "owed", "tax"), 0))
    for row in sorted(rows, key=lambda revenue: revenue.month):
        for name in (*COLUMNS, "tax"):
            sums[row.currency][name] += getattr(row, name)
        sums[row.currency]["owed"] = row.owed
    return dict(sums)


def _histories() -> dict[UUID, _PurchaseHistory]:
    paid = Purchase.objects.filter(status=Purchase.Status.PAID, amount__gt=0).order_by("paid_at")
    histories = {purchase.pk: _PurchaseHistory(purchase) for purchase in paid}
    packs = paid.filter(kind=Purchase.Kind.PACK).values("pk")
    with connection.cursor() as cursor:
        cursor.execute(_MOVED, [list(packs.values_list("pk", flat=True))])
        moved = cursor.fetchall()
    for purchase_id, month, kind, credits in [*moved, *archive.sums_of_purchases(packs)]:
        history = histories[purchase_id]
        if kind in _SPENT:
            history.spent[month] -= credits
        elif kind in _LOST:
            history.lost[month] -= credits
        if kind not in _RESERVED:
            history.left[month] += credits
    refunds = Refund.objects.filter(purchase__in=histories, decided_at__isnull=False)
    for refund in refunds.exclude(status__in=[Refund.Status.REFUSED, Refund.Status.FAILED]):
        histories[refund.purchase_id].refunded[validity.month_of(_required(refund.decided_at))] += (
            refund.amount
        )
    for dispute in Dispute.objects.filter(purchase__in=histories, status=Dispute.Status.LOST):
        histories[dispute.purchase_id].disputed[validity.month_of(_required(dispute.closed_at))] += (
            dispute.amount
        )
    for dispute in Dispute.objects.filter(purchase__in=histories, status__in=Dispute.UNDECIDED):
        history, month = histories[dispute.purchase_id], validity.month_of(dispute.created_at)
        history.undecided_from = min(month, history.undecided_from or month)
    return histories


def _add(
    rows: dict[tuple[datetime, str], MonthlyRevenue],
    history: _PurchaseHistory,
    months: list[datetime],
    now: datetime,
) -> None:
    """Add a purchase: each month gets the growth of the cumulative amounts during it."""
    purchase = history.purchase
    before = dict.fromkeys((*COLUMNS, "tax"), 0)
    started = validity.month_of(_required(purchase.paid_at))
    for month in (month for month in months if month >= started):
        until = min(validity.add_months(month, 1), now)
        after = _sums(history, month, until)
        row = rows.setdefault((month, purchase.currency), MonthlyRevenue(month, purchase.currency))
        for name in (*COLUMNS, "tax"):
            setattr(row, name, getattr(row, name) + after[name] - before[name])
        before = after


def _sums(history: _PurchaseHistory, month: datetime, until: datetime) -> dict[str, int]:
    """The cumulative amounts of a purchase at the end of a month."""
    purchase = history.purchase
    amount = _without_tax(purchase, purchase.amount)
    refunded_gross, disputed_gross = _sum_until(history.refunded, month), _sum_until(history.disputed, month)
    returned_gross = min(refunded_gross + disputed_gross, purchase.amount)
    refunded = _without_tax(purchase, refunded_gross)
    disputed = _without_tax(purchase, returned_gross) - refunded
    kept = max(amount - refunded - disputed, 0)
    if history.purchase.kind == Purchase.Kind.PLAN or not history.purchase.credits:
        earned, breakage = min(_elapsed(purchase, amount, until), kept), 0
    else:
        credits = history.purchase.credits
        breakage = min(_rounded_down(amount * _sum_until(history.lost, month) / credits), kept)
        # The money for spent credits is not earned when it was refunded or disputed.
        earned = min(_rounded_down(amount * _sum_until(history.spent, month) / credits), kept - breakage)
        undecided = history.undecided_from is not None and history.undecided_from <= month
        # Nothing is owed: the remainder of rounding is earned. What an open dispute took back stays owed.
        if _sum_until(history.left, month) == 0 and not undecided:
            earned = kept - breakage
    return {
        "sold": amount,
        "earned": earned,
        "breakage": breakage,
        "refunded": refunded,
        "disputed": disputed,
        "tax": purchase.tax_paid - taxes.share(purchase, returned_gross),
    }


def _without_tax(purchase: Purchase, amount: int) -> int:
    """The part of the first `amount` minor units of a purchase that is not tax."""
    return amount - taxes.share(purchase, amount)


def _elapsed(purchase: Purchase, amount: int, until: datetime) -> int:
    """The part of a plan's payment, `amount` without tax, for the elapsed part of its period."""
    start, end = purchase.period_start or _required(purchase.paid_at), purchase.period_end
    if end is None or until >= end:
        return amount
    passed = max((until - start).total_seconds(), 0)
    return _rounded_down(Decimal(amount) * Decimal(passed) / Decimal((end - start).total_seconds()))


def _set_owed(rows: dict[tuple[datetime, str], MonthlyRevenue], months: list[datetime]) -> None:
    for currency in {currency for _month, currency in rows}:
        owed = 0
        for month in months:
            row = rows.setdefault((month, currency), MonthlyRevenue(month, currency))
            owed += row.sold - row.earned - row.breakage - row.refunded - row.disputed
            row.owed = owed


def _months(first: datetime, now: datetime) -> Iterable[datetime]:
    month = first
    while month <= now:
        yield month
        month = validity.add_months(month, 1)


def _sum_until(by_month: dict[datetime, Any], month: datetime) -> Any:
    return sum(value for at, value in by_month.items() if at <= month)


def _rounded_down(amount: Decimal) -> int:
    return int(amount.to_integral_value(ROUND_FLOOR))


def _required(moment: datetime | None) -> datetime:
    assert moment is not None
    return moment
