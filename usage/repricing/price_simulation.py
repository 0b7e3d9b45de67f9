"""Price simulation: what the charges of the last days would have cost by a draft rate card.

Invariants: nothing is written; every charge of the window is either repriced or counted, with the reason, as
one that the card cannot price. Charges of a given amount (holds captured in credits) keep their amount.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from accounts.models import Account
from billing.models import Charge
from pricing.catalogue import cache as catalogue_cache
from pricing.catalogue import rate_cards
from pricing.models import RateCard
from pricing.rates import quotes
from pricing.rates.quotes import Line
from pricing.rates.rate import Rate
from pricing.rates.validation import UsageInvalid
from usage import selectors
from usage.charges.stored_detail import restored

MAX_CHARGES = 100_000  # a longer window is cut to its newest charges, so that the page answers in time
MAX_ACCOUNTS_SHOWN = 20
ZERO = Decimal(0)


@dataclass(slots=True)
class SimulatedTotal:
    """The credits that charges cost, and that they would have cost by the simulated card.

    `reason` says why the card cannot price the latest of the `unpriced` charges.
    """

    name: str
    charges: int = 0
    before: Decimal = ZERO
    after: Decimal = ZERO
    unpriced: int = 0
    reason: str = ""

    @property
    def difference(self) -> Decimal:
        return self.after - self.before

    @property
    def percent(self) -> Decimal | None:
        """The difference in per cent; None when the charges cost nothing before."""
        return (self.difference / self.before * 100).quantize(Decimal("0.1")) if self.before else None


@dataclass(slots=True)
class AccountTotal(SimulatedTotal):
    """The total of one account. `insufficient_at`: the first charge that its balance could not have paid."""

    account_id: UUID | None = None
    insufficient_at: datetime | None = None


@dataclass(slots=True)
class Simulation:
    """The result of a simulation over the charges since `since`.

    `fingerprint` identifies the simulated rates; publishing the card requires it. `truncated`: the period has
    more than MAX_CHARGES charges, and only the newest were simulated.
    """

    card: RateCard
    fingerprint: str
    since: datetime
    truncated: bool
    total: SimulatedTotal
    services: list[SimulatedTotal] = field(default_factory=list)
    paying_more: list[AccountTotal] = field(default_factory=list)
    insufficient: list[AccountTotal] = field(default_factory=list)
    insufficient_count: int = 0


def simulate(card: RateCard, *, days: int, now: datetime) -> Simulation:
    """Reprice the charges of the last `days` days by the card as it is in the database."""
    charges, since, truncated = _charges_of(days, now)
    simulation = Simulation(
        card=card,
        fingerprint=rate_cards.fingerprint(rate_cards.rows_of(card.pk)),
        since=since,
        truncated=truncated,
        total=SimulatedTotal(_("All services")),
    )
    rates = catalogue_cache.rates_of(card.pk)
    services: dict[str, SimulatedTotal] = {}
    accounts: dict[UUID, AccountTotal] = {}
    columns = ("account_id", "service", "action", "credits", "balance_after", "created_at", "hold_id")
    for charge in charges.values(*columns, "detail").iterator(chunk_size=2000):
        key = charge["action"] or charge["service"]
        service = services.setdefault(key, SimulatedTotal(key))
        account = accounts.setdefault(charge["account_id"], AccountTotal("", account_id=charge["account_id"]))
        _add(charge, rates, (simulation.total, service, account))
        # The simulated balance is the real balance less the additional credits charged so far.
        if account.insufficient_at is None and charge["balance_after"] < account.difference:
            account.insufficient_at = charge["created_at"]
    names = selectors.service_names(list(services))
    for key, service in services.items():
        service.name = names[key]
    simulation.services = sorted(services.values(), key=lambda total: -abs(total.difference))
    _rank_accounts(simulation, list(accounts.values()))
    return simulation


def price_of(charge: Mapping[str, Any], rates: Mapping[str, Rate]) -> Decimal | None:
    """What the use of a charge costs by the rates; None if they cannot price it.

    `charge`: a row with service, action, credits, hold_id and detail.
    """
    credits, reason = _reprice(charge, rates)
    return None if reason else credits


def factor(charges: Sequence[Mapping[str, Any]], rates: Mapping[str, Rate]) -> Decimal:
    """What the charges would cost by the rates, divided by what they cost.

    `charges`: rows with service, action, credits, hold_id and detail; those that the rates cannot price are
    left out. 1 when they cost nothing.
    """
    total = SimulatedTotal("")
    for charge in charges:
        _add(charge, rates, (total,))
    return total.after / total.before if total.before else Decimal(1)


def _charges_of(days: int, now: datetime) -> tuple[QuerySet[Charge], datetime, bool]:
    """The charges to simulate, oldest first, the time since when, and whether the window was truncated."""
    since = now - timedelta(days=days)
    charges = Charge.objects.filter(created_at__gte=since, created_at__lte=now, covered_by=None)
    newest_excluded = (
        charges.order_by("-created_at").values_list("created_at", flat=True)[MAX_CHARGES:].first()
    )
    if newest_excluded is not None:
        charges, since = charges.filter(created_at__gt=newest_excluded), newest_excluded
    return charges.order_by("created_at", "id"), since, newest_excluded is not None


def _add(charge: Mapping[str, Any], rates: Mapping[str, Rate], totals: tuple[SimulatedTotal, ...]) -> None:
    """Add a charge to the totals it belongs to."""
    credits, reason = _reprice(charge, rates)
    for total in totals:
        total.charges += 1
        if reason:
            total.unpriced += 1
            total.reason = reason
        else:
            total.before += charge["credits"]
            total.after += credits


def _reprice(charge: Mapping[str, Any], rates: Mapping[str, Rate]) -> tuple[Decimal, str]:
    """The credits that the charge would have cost, or the reason why the card cannot price it."""
    detail = restored(charge["detail"])
    usage = detail["usage"]
    if not usage or (charge["hold_id"] and charge["credits"] != _sum_of_lines(detail["lines"])):
        return charge["credits"], ""
    rate, action = rates.get(charge["service"]), rates.get(charge["action"])
    if rate is None or (charge["action"] and action is None):
        return ZERO, _("The draft has no rate for this service. Calls would be refused.")
    # Fractions are stored as text, without loss.
    quantities = {meter: Decimal(str(quantity)) for meter, quantity in usage.items()}
    try:
        return quotes.quote(rate, quantities, detail["options"], action=action).credits, ""
    except UsageInvalid as error:
        return ZERO, error.message


def _sum_of_lines(lines: list[Line]) -> Decimal:
    return sum((Decimal(line["credits"]) for line in lines), ZERO)


def _rank_accounts(simulation: Simulation, totals: list[AccountTotal]) -> None:
    """Select the accounts that would pay most more, and those whose balance would not have been enough."""
    paying_more = sorted(
        (total for total in totals if total.difference > 0), key=lambda total: -total.difference
    )
    insufficient = sorted(
        (total for total in totals if total.insufficient_at is not None),
        key=lambda total: str(total.insufficient_at),
    )
    simulation.paying_more = paying_more[:MAX_ACCOUNTS_SHOWN]
    simulation.insufficient = insufficient[:MAX_ACCOUNTS_SHOWN]
    simulation.insufficient_count = len(insufficient)
    shown = (*simulation.paying_more, *simulation.insufficient)
    account_ids = [total.account_id for total in shown if total.account_id]
    names = dict(Account.objects.filter(pk__in=account_ids).values_list("pk", "name"))
    for total in shown:
        total.name = names.get(total.account_id, str(total.account_id)) if total.account_id else ""
