"""Plan advice: what the account's use of the last days would have cost on each plan, packs included.

Invariants: nothing is written; the use is that of the charges, at the prices that were charged; what the
present plan covers is repriced by the rates in force, because other plans would charge it. Money is in minor
units. Credits given once (at sign-up or with a promotion) and counted quotas are left out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import ROUND_CEILING, Decimal

from django.db.models import Count, F, QuerySet, Sum
from django.db.models.functions import TruncDate

from accounts.models import Account
from billing import offers, selectors
from billing.models import Charge
from billing.offers import PackOffer
from pricing.catalogue import cache as catalogue_cache
from pricing.models import Plan
from pricing.rates.rate import Rate
from usage import entitlements, periods
from usage.repricing import price_simulation

DAYS = 30
REPRICED_CHARGES = 1000
_ZERO = Decimal(0)

Use = tuple[date, str, str]
"""Day, the service that a plan may cover, and the service whose tags limit grants."""


@dataclass(frozen=True)
class PlanCost:
    """What the use would have cost on a plan in DAYS days.

    `price`: the plan's price for a month. `packs`: how many of `pack` the rest takes. `refused`: credits that
    could not have been bought, because the plan or the currency has no packs.
    """

    plan: Plan
    is_current: bool
    price: int
    spent: Decimal
    pack: PackOffer | None
    packs: int
    refused: Decimal

    @property
    def total(self) -> int:
        """Minor units for the plan and the packs."""
        return self.price + (self.pack.amount * self.packs if self.pack else 0)


@dataclass(frozen=True)
class Advice:
    """The costs of every plan, the cheapest first; plans that refuse some of the use come last."""

    currency: str
    used: Decimal
    costs: list[PlanCost]

    @property
    def current(self) -> PlanCost | None:
        return next((cost for cost in self.costs if cost.is_current), None)

    @property
    def best(self) -> PlanCost | None:
        """The cheapest plan that refuses nothing."""
        return next((cost for cost in self.costs if not cost.refused), None)

    @property
    def saving(self) -> int:
        """Minor units by which the best plan is cheaper than the present one; 0 if that refuses some use."""
        if self.current is None or self.best is None or self.current.refused:
            return 0
        return self.current.total - self.best.total


def of(account: Account, now: datetime) -> Advice:
    """The advice for the last DAYS days, in the currency of the account's subscription or the default one."""
    subscription = selectors.subscription_of(account.pk)
    paid = subscription is not None and subscription.paid
    currency = subscription.currency if subscription and paid else offers.resolve_currency(None)
    current = subscription.plan if subscription else ""
    use = _use_of(account, now)
    costs = [
        _cost_on(plan, use, is_current=plan.key == current, currency=currency, now=now)
        for plan in Plan.objects.order_by("rank", "position")
        if plan.key == current or (plan.open_to_new_members and _price(plan, currency) is not None)
    ]
    costs.sort(key=lambda cost: (bool(cost.refused), cost.total, not cost.is_current, cost.plan.rank))
    return Advice(currency, sum(use.values(), _ZERO), costs)


def _use_of(account: Account, now: datetime) -> Mapping[Use, Decimal]:
    """Credits by day and service, as a plan without unlimited services would have charged them.

    A use that an own key pays for has no credits on any plan.
    """
    period = periods.latest_days(account, days=DAYS, now=now)
    charges = Charge.objects.filter(account=account, created_at__gte=period.start, created_at__lte=now)
    rows = (
        charges.annotate(day=TruncDate("created_at", tzinfo=period.zone))
        .values("day", "service", "action", "covered_by")
        .annotate(sum=Sum(F("credits") - F("uncollected") - F("returned")), number=Count("pk"))
        .order_by()
    )
    mean = _mean_prices(charges.filter(covered_by=entitlements.UNLIMITED), now)
    use: dict[Use, Decimal] = {}
    for row in rows:
        key = row["service"], row["action"]
        is_covered = row["covered_by"] == entitlements.UNLIMITED
        credits = mean.get(key, _ZERO) * row["number"] if is_covered else row["sum"]
        if credits > 0:
            covered = entitlements.priced_service(*key, now)
            used = row["day"], covered, row["service"]
            use[used] = use.get(used, _ZERO) + credits
    return use


def _mean_prices(covered: QuerySet[Charge], now: datetime) -> dict[tuple[str, str], Decimal]:
    """What one of the newest charges that the plan covers would cost, by service and action."""
    rates = _rates_at(now)
    rows = covered.order_by("-created_at").values("service", "action", "credits", "hold_id", "detail")[
        :REPRICED_CHARGES
    ]
    sums: dict[tuple[str, str], list[Decimal]] = {}
    for row in rows:
        price = price_simulation.price_of(row, rates)
        if price is not None:
            sums.setdefault((row["service"], row["action"]), []).append(price)
    return {key: sum(prices, _ZERO) / len(prices) for key, prices in sums.items()}


def _rates_at(now: datetime) -> Mapping[str, Rate]:
    catalogue = catalogue_cache.current()
    card = catalogue.card_at(now)
    return catalogue.rates(card) if card else {}


def _cost_on(
    plan: Plan, use: Mapping[Use, Decimal], *, is_current: bool, currency: str, now: datetime
) -> PlanCost:
    needed = {key: credits for key, credits in use.items() if key[1] not in plan.unlimited_services}
    spent = sum(needed.values(), _ZERO)
    missing = _not_given_by(plan.allowances, needed)
    pack, packs = _cheapest(offers.list_packs(currency=currency, paid_plan=plan.paid, now=now), missing)
    return PlanCost(
        plan=plan,
        is_current=is_current,
        price=_price(plan, currency) or 0,
        spent=spent,
        pack=pack,
        packs=packs,
        refused=missing if missing and pack is None else _ZERO,
    )


def _not_given_by(allowances: Sequence[Mapping[str, object]], needed: Mapping[Use, Decimal]) -> Decimal:
    """What remains of the use after daily credits, which last a day, and those of one month."""
    rest = dict(needed)
    # credits for some services only are used before those for all, and daily ones before monthly ones
    ordered = sorted(allowances, key=lambda terms: (terms["period"] != "day", not terms.get("services")))
    for terms in ordered:
        credits = Decimal(str(terms["credits"]))
        if terms["period"] == "day":
            for day in {day for day, *_ in rest}:
                _take(rest, credits, [key for key in rest if key[0] == day], terms.get("services"))
        elif terms["period"] == "month":
            _take(rest, credits, sorted(rest), terms.get("services"))
    return sum(rest.values(), _ZERO)


def _take(rest: dict[Use, Decimal], credits: Decimal, keys: Sequence[Use], services: object) -> None:
    """Take up to `credits` from these uses; `services` limits them to some services or tags."""
    for key in keys:
        if credits <= 0:
            return
        if isinstance(services, list) and not _covers(key[2]).intersection(services):
            continue
        taken = min(rest[key], credits)
        rest[key] -= taken
        credits -= taken


def _covers(service: str) -> frozenset[str]:
    facts = catalogue_cache.current().services.get(service)
    return frozenset(facts.covers if facts else [service])


def _cheapest(packs: Sequence[PackOffer], missing: Decimal) -> tuple[PackOffer | None, int]:
    """The pack of which as many as are needed cost least, and how many; none are needed for nothing."""
    allowed = [pack for pack in packs if pack.allowed]
    if not missing or not allowed:
        return None, 0
    counts = [
        (pack.amount * count, pack, count)
        for pack in allowed
        for count in [int((missing / pack.pack.credits).to_integral_value(ROUND_CEILING))]
    ]
    _amount, pack, count = min(counts, key=lambda option: (option[0], option[2]))
    return pack, count


def _price(plan: Plan, currency: str) -> int | None:
    """The plan's price for a month: a twelfth of the year's if it is sold by the year only. 0: free."""
    if not plan.paid:
        return 0
    month, year = (plan.prices.get(interval, {}).get(currency) for interval in ("month", "year"))
    if month is not None:
        return int(month)
    return None if year is None else -(-int(year) // 12)
