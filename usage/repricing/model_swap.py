"""The calls of one model priced on another: what the account would have paid for the same usage.

Invariants: nothing is written; every call of the window is either repriced by the rates in force or counted,
with the reason, as one that the other model cannot price; both sums are over the repriced calls only.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.utils.translation import gettext as _

from accounts.models import Account
from billing.models import Charge
from pricing.catalogue import cache as catalogue_cache
from pricing.rates import quotes
from pricing.rates.rate import Rate
from pricing.rates.validation import UsageInvalid
from usage import periods
from usage.charges.stored_detail import restored
from usage.dashboard import aggregates
from usage.periods import Period

DAYS = 30
MAX_CALLS = 1000  # the newest; more would make the page slow


@dataclass
class Swap:
    """The calls of `service` in `period`: `before` is what they cost, `after` what they cost on `other`.

    `reason` says why the newest of the `unpriced` calls cannot be priced. `truncated`: only the newest
    MAX_CALLS calls were priced.
    """

    service: str
    other: str
    period: Period
    calls: int = 0
    before: Decimal = Decimal(0)
    after: Decimal = Decimal(0)
    unpriced: int = 0
    reason: str = ""
    truncated: bool = False

    @property
    def difference(self) -> Decimal:
        return self.after - self.before

    @property
    def saving(self) -> Decimal:
        return -self.difference


def services_used(account: Account, now: datetime) -> list[str]:
    """The models of which calls cost credits in the last DAYS days, by key."""
    period = periods.latest_days(account, days=DAYS, now=now)
    totals = aggregates.group_totals(account, period, dimension="service")
    return sorted(total.key for total in totals if total.credits > 0)


def others(service: str, now: datetime) -> list[str]:
    """The models of the same kind and modality that have a price, in catalogue order."""
    catalogue = catalogue_cache.current()
    facts, card = catalogue.services.get(service), catalogue.card_at(now)
    if facts is None or card is None:
        return []
    rates = catalogue.rates(card)
    return [
        key
        for key, other in catalogue.services.items()
        if key != service
        and key in rates
        and not other.retired
        and (other.kind, other.modality) == (facts.kind, facts.modality)
    ]


def preview(account: Account, *, service: str, other: str, now: datetime) -> Swap:
    """The newest calls of `service` in the last DAYS days that cost credits, priced on `other`.

    Calls of which credits were returned are left out: what they cost is not their price.
    """
    catalogue = catalogue_cache.current()
    card = catalogue.card_at(now)
    rates: Mapping[str, Rate] = catalogue.rates(card) if card else {}
    swap = Swap(service, other, periods.latest_days(account, days=DAYS, now=now))
    rows = (
        Charge.objects.filter(
            account=account,
            service=service,
            created_at__gte=swap.period.start,
            created_at__lte=now,
            credits__gt=0,
            returned=0,
        )
        .order_by("-created_at")
        .values("action", "credits", "detail")[: MAX_CALLS + 1]
    )
    for row in rows:
        if swap.calls + swap.unpriced == MAX_CALLS:
            swap.truncated = True
            break
        _add(swap, row, rates)
    return swap


def _add(swap: Swap, row: Mapping[str, Any], rates: Mapping[str, Rate]) -> None:
    try:
        credits = _price(row, swap.other, rates)
    except UsageInvalid as error:
        swap.unpriced += 1
        swap.reason = swap.reason or error.message
        return
    if credits is None:
        swap.unpriced += 1
        swap.reason = swap.reason or _("These calls state their credits, not their usage.")
        return
    swap.calls += 1
    swap.before += row["credits"]
    swap.after += credits


def _price(row: Mapping[str, Any], other: str, rates: Mapping[str, Rate]) -> Decimal | None:
    """What the row's usage costs on the other model; None without usage. Raises UsageInvalid."""
    detail = restored(row["detail"])
    rate, action = rates.get(other), rates.get(row["action"])
    if not detail["usage"] or rate is None or (row["action"] and action is None):
        return None
    quantities = {meter: Decimal(str(quantity)) for meter, quantity in detail["usage"].items()}
    return quotes.quote(rate, quantities, detail["options"], action=action).credits
