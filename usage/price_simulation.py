"""A rehearsal: what the charges of the last days would have cost by a draft rate card.

Invariants: nothing is changed; every charge of the window is either repriced or counted, with the reason,
among those that the draft could not price. Charges of a plain amount (a hold settled in credits) keep it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.utils.translation import gettext as _

from accounts.models import Account
from billing.models import Charge
from pricing import selectors
from pricing.catalogue import cache as catalogue_cache
from pricing.models import RateCard
from pricing.rates import quotes, rate_cards
from pricing.rates.rate import Rate
from pricing.rates.validation import UsageInvalid

MOST_CHARGES = 100_000  # what a person waits for; a longer window is cut to its newest charges, and says so
SHOWN_ACCOUNTS = 20
ZERO = Decimal(0)


@dataclass(slots=True)
class Sum:
    """Charges with what they cost and what they would have cost."""

    name: str
    charges: int = 0
    before: Decimal = ZERO
    after: Decimal = ZERO
    unpriced: int = 0
    reason: str = ""
    """Why the draft could not price the last of the unpriced ones."""

    @property
    def difference(self) -> Decimal:
        return self.after - self.before

    @property
    def percent(self) -> Decimal | None:
        return (self.difference / self.before * 100).quantize(Decimal("0.1")) if self.before else None


@dataclass(slots=True)
class AccountSum(Sum):
    """An account's charges; `dry_at`: when its balance would not have been enough."""

    account_id: UUID | None = None
    dry_at: datetime | None = None


@dataclass(slots=True)
class Rehearsal:
    """What a draft would have made of the charges since `since`."""

    card: RateCard
    seen: str
    """The fingerprint of the rates that were rehearsed: publishing asks for it."""
    since: datetime
    cut: bool
    """Whether the window holds more charges than were looked at."""
    total: Sum
    services: list[Sum] = field(default_factory=list)
    paying_more: list[AccountSum] = field(default_factory=list)
    run_dry: list[AccountSum] = field(default_factory=list)
    run_dry_count: int = 0


def rehearse(card: RateCard, *, days: int, now: datetime) -> Rehearsal:
    """Reprice the charges of the last `days` days by the card, as it is in the database."""
    since = now - timedelta(days=days)
    charges = Charge.objects.filter(created_at__gte=since, created_at__lte=now, covered_by=None)
    beyond = charges.order_by("-created_at").values_list("created_at", flat=True)[MOST_CHARGES:].first()
    if beyond is not None:
        charges, since = charges.filter(created_at__gt=beyond), beyond
    rehearsal = Rehearsal(
        card=card,
        seen=rate_cards.fingerprint(rate_cards.rows_of(card.pk)),
        since=since,
        cut=beyond is not None,
        total=Sum(_("All services")),
    )
    rates = catalogue_cache.rates_of(card.pk)
    services: dict[str, Sum] = {}
    accounts: dict[UUID, AccountSum] = {}
    names = selectors.service_names()
    columns = ("account_id", "service", "action", "credits", "balance_after", "created_at", "hold_id")
    stored = ("detail__usage", "detail__options", "detail__lines")
    rows = charges.order_by("created_at", "id").values(*columns, *stored)
    for row in rows.iterator(chunk_size=2000):
        what = row["action"] or row["service"]
        service = services.setdefault(what, Sum(names.get(what, what)))
        account = accounts.setdefault(row["account_id"], AccountSum("", account_id=row["account_id"]))
        _count(row, rates, (rehearsal.total, service, account))
        # What the account would have had left: what it had, less all that the draft took in addition so far.
        if account.dry_at is None and row["balance_after"] < account.difference:
            account.dry_at = row["created_at"]
    rehearsal.services = sorted(services.values(), key=lambda one: -abs(one.difference))
    _rank_accounts(rehearsal, list(accounts.values()))
    return rehearsal


def _count(row: Mapping[str, Any], rates: Mapping[str, Rate], sums: tuple[Sum, ...]) -> None:
    """Add a charge to the sums it belongs to."""
    credits, reason = _repriced(row, rates)
    for one in sums:
        one.charges += 1
        if reason:
            one.unpriced += 1
            one.reason = reason
        else:
            one.before += row["credits"]
            one.after += credits


def _repriced(row: Mapping[str, Any], rates: Mapping[str, Rate]) -> tuple[Decimal, str]:
    """What the charge would have cost, or why the draft cannot say."""
    usage = row["detail__usage"]
    if not usage or (row["hold_id"] and row["credits"] != _sum_of(row["detail__lines"])):
        return row["credits"], ""
    rate, action = rates.get(row["service"]), rates.get(row["action"])
    if rate is None or (row["action"] and action is None):
        return ZERO, _("The draft has no rate for this service. Calls would be refused.")
    # Fractions are stored as text, so that they stay exact.
    exact = {meter: Decimal(str(count)) for meter, count in usage.items()}
    try:
        return quotes.quote(rate, exact, row["detail__options"] or {}, action=action).credits, ""
    except UsageInvalid as error:
        return ZERO, error.message


def _sum_of(lines: list[dict[str, Any]] | None) -> Decimal:
    return sum((Decimal(line["credits"]) for line in lines or []), ZERO)


def _rank_accounts(rehearsal: Rehearsal, accounts: list[AccountSum]) -> None:
    more = sorted((one for one in accounts if one.difference > 0), key=lambda one: -one.difference)
    dry = sorted((one for one in accounts if one.dry_at is not None), key=lambda one: str(one.dry_at))
    rehearsal.paying_more, rehearsal.run_dry = more[:SHOWN_ACCOUNTS], dry[:SHOWN_ACCOUNTS]
    rehearsal.run_dry_count = len(dry)
    shown = [one.account_id for one in (*rehearsal.paying_more, *rehearsal.run_dry) if one.account_id]
    names = dict(Account.objects.filter(pk__in=shown).values_list("pk", "name"))
    for one in (*rehearsal.paying_more, *rehearsal.run_dry):
        one.name = names.get(one.account_id, str(one.account_id)) if one.account_id else ""
