"""Tax by month, country and currency: gross, tax and net of what was paid and of what was given back.

Invariant: net = gross - tax in every row; the tax given back by several refunds of a purchase adds up to the
tax that was paid with it. Only purchases with Stripe Tax are listed.
"""

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import QuerySet

from billing import validity
from billing.models import Dispute, Purchase, Refund
from billing.payments import taxes


@dataclass
class CountryTax:
    """A month, country and currency, in minor units. `gross` and `tax` are paid; `returned` is given back."""

    month: datetime
    country: str
    currency: str
    gross: int = 0
    tax: int = 0
    returned: int = 0
    returned_tax: int = 0

    @property
    def net(self) -> int:
        return self.gross - self.tax

    @property
    def returned_net(self) -> int:
        return self.returned - self.returned_tax


def report() -> list[CountryTax]:
    """All months with taxed payments or their refunds, newest first."""
    rows: dict[tuple[datetime, str, str], CountryTax] = {}

    def row(purchase: Purchase, at: datetime) -> CountryTax:
        key = validity.month_of(at), purchase.country, purchase.currency
        return rows.setdefault(key, CountryTax(*key))

    taxed = Purchase.objects.filter(status=Purchase.Status.PAID).exclude(tax_behavior="")
    returned = _returned(taxed)
    for purchase in taxed:
        assert purchase.paid_at is not None
        paid = row(purchase, purchase.paid_at)
        paid.gross += purchase.amount
        paid.tax += purchase.tax_paid
        before = 0
        for at, amount in sorted(returned.get(purchase.pk, [])):
            after = min(before + amount, purchase.amount)
            back = row(purchase, at)
            back.returned += after - before
            back.returned_tax += taxes.share(purchase, after) - taxes.share(purchase, before)
            before = after
    return sorted(rows.values(), key=lambda each: (each.month, each.country, each.currency), reverse=True)


def _returned(purchases: QuerySet[Purchase]) -> dict[UUID, list[tuple[datetime, int]]]:
    """When which money was given back, by purchase."""
    found: dict[UUID, list[tuple[datetime, int]]] = defaultdict(list)
    refunds = Refund.objects.filter(purchase__in=purchases, decided_at__isnull=False)
    for refund in refunds.exclude(status__in=[Refund.Status.REFUSED, Refund.Status.FAILED]):
        if refund.decided_at:
            found[refund.purchase_id].append((refund.decided_at, refund.amount))
    for dispute in Dispute.objects.filter(purchase__in=purchases, status=Dispute.Status.LOST):
        if dispute.closed_at:
            found[dispute.purchase_id].append((dispute.closed_at, dispute.amount))
    return found
