"""Plan advice: what the account's use of the last days would have cost on each plan, packs included.

Invariants: nothing is written; the use is that of the charges, at the prices that were charged; what the
present plan covers is repriced by the rates in force, because other plans would charge it. Money is in minor
units. Credits given once (at sign-up or with a promotion) are left out. Uses beyond a quota are counted, but
their credits are not taken out: the plan is the last choice anyway.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import ROUND_CEILING, Decimal
from typing import Any

from django.db.models import Count, F, Q, QuerySet, Sum
from django.db.models.functions import TruncDate

from accounts.models import Account
from billing import offers, selectors
from billing.models import Charge, Limit, Subscription
from billing.offers import PackOffer
from pricing.catalogue import cache as catalogue_cache
from pricing.models import Plan
from pricing.rates.rate import Rate
from usage import entitlements, periods
from usage.dashboard import aggregates
from usage.periods import Period
from usage.repricing import price_simulation

DAYS = 30
REPRICED_CHARGES = 1000
_ZERO = Decimal(0)

Credits = dict[tuple[date, str, str], Decimal]
"""By day, the service that a plan may cover (an action at its own price), and the service that was used."""


@dataclass(frozen=True)
class Use:
    """What the account used: credits, and how much of each quota on each day."""

    credits: Credits
    counts: Mapping[tuple[date, str], Decimal]


@dataclass(frozen=True)
class Excess:
    """Uses of a quota beyond its maximum."""

    label: str
    count: Decimal


@dataclass(frozen=True)
class PlanCost:
    """What the use would have cost on a plan in DAYS days.

    `price`: the plan's price for a month; of the present plan, what the account pays. `packs`: how many of
    `pack` the rest takes. `refused`: credits that could not have been bought, because the plan or the
    currency has no packs. `excess`: uses that the plan's quotas would have refused.
    """

    plan: Plan
    is_current: bool
    price: int
    spent: Decimal
    pack: PackOffer | None
    packs: int
    refused: Decimal
    excess: list[Excess]

    @property
    def refuses(self) -> bool:
        """Whether some of the use would have been refused."""
        return bool(self.refused or self.excess)

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
        return next((cost for cost in self.costs if not cost.refuses), None)

    @property
    def saving(self) -> int:
        """Minor units by which the best plan is cheaper than the present one; 0 if that refuses some use."""
        if self.current is None or self.best is None or self.current.refuses:
            return 0
        return self.current.total - self.best.total


def of(account: Account, now: datetime) -> Advice:
    """The advice for the last DAYS days, in the currency of the account's subscription or the default one."""
    subscription = selectors.subscription_of(account.pk)
    paid = subscription is not None and subscription.paid
    currency = subscription.currency if subscription and paid else offers.resolve_currency(None)
    current = subscription.plan if subscription else ""
    paying = _paid_a_month(subscription) if subscription and paid else None
    plans = [
        plan
        for plan in Plan.objects.order_by("rank", "position")
        if plan.key == current or (plan.open_to_new_members and _price(plan, currency) is not None)
    ]
    use = _use_of(account, plans, now)
    before = _counted_before(account, use)
    packs = {
        paid: offers.list_packs(currency=currency, paid_plan=paid, now=now)
        for paid in {plan.paid for plan in plans}
    }
    costs = [
        _cost_on(
            plan,
            use,
            before,
            packs[plan.paid],
            is_current=plan.key == current,
            price=(paying if plan.key == current else None) or _price(plan, currency),
        )
        for plan in plans
    ]
    costs.sort(key=lambda cost: (cost.refuses, cost.total, not cost.is_current, cost.plan.rank))
    return Advice(currency, sum(use.credits.values(), _ZERO), costs)


def _use_of(account: Account, plans: Sequence[Plan], now: datetime) -> Use:
    """The use of the last days; credits as a plan without unlimited services would have charged them.

    A use that an own key pays for has no credits on any plan.
    """
    period = periods.latest_days(account, days=DAYS, now=now)
    by_service = aggregates.credits_by_day_and_value(account, period, dimension="service")
    credits: Credits = {(day, service, service): spent for (day, service), spent in by_service.items()}
    counts: dict[tuple[date, str], Decimal] = {}
    charges = Charge.objects.filter(account=account, created_at__gte=period.start, created_at__lt=period.end)
    rows = _special_rows(charges, plans, period)
    is_covered = any(row["covered_by"] == entitlements.UNLIMITED for row in rows)
    mean = _mean_prices(charges.filter(covered_by=entitlements.UNLIMITED), now) if is_covered else {}
    for row in rows:
        day, service, action = row["day"], row["service"], row["action"]
        spent = row["sum"]
        if row["covered_by"] == entitlements.UNLIMITED:
            spent = mean.get((service, action), _ZERO) * row["number"]
        else:
            _add(credits, (day, service, service), -spent)
        _add(credits, (day, entitlements.priced_service(service, action, now), service), spent)
        if row["quota"] and row["count"]:
            counts[day, row["quota"]] = counts.get((day, row["quota"]), _ZERO) + row["count"]
    return Use({key: spent for key, spent in credits.items() if spent > 0}, counts)


def _special_rows(
    charges: QuerySet[Charge], plans: Sequence[Plan], period: Period
) -> Sequence[Mapping[str, Any]]:
    """The charges for which plans differ in more than credits, by day: uses that an unlimited service may
    cover, actions, which limited credits may name, and uses that count against a quota. None where no plan
    has any of these."""
    special = Q()
    if any(plan.unlimited_services or _has_limited_credits(plan) for plan in plans):
        special |= Q(covered_by=entitlements.UNLIMITED) | ~Q(action="")
    if any(plan.quotas for plan in plans):
        special |= Q(quota__isnull=False)
    if not special:
        return []
    rows = (
        charges.filter(special)
        .annotate(day=TruncDate("created_at", tzinfo=period.zone))
        .values("day", "service", "action", "covered_by", "quota")
        .annotate(
            sum=Sum(F("credits") - F("uncollected") - F("returned")),
            number=Count("pk"),
            count=Sum("quota_count"),
        )
        .order_by()
    )
    return list(rows)


def _has_limited_credits(plan: Plan) -> bool:
    return any(terms.get("services") for terms in plan.allowances)


def _add(credits: Credits, key: tuple[date, str, str], amount: Decimal) -> None:
    credits[key] = credits.get(key, _ZERO) + amount


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


def _counted_before(account: Account, use: Use) -> dict[str, Decimal]:
    """What counted against quotas without a period before the last days."""
    limits = Limit.objects.filter(
        account_id=account.pk, kind=Limit.Kind.QUOTA, period=Limit.Period.EVER
    ).values_list("subject", "used")
    recent: dict[str, Decimal] = {}
    for (_day, quota), count in use.counts.items():
        recent[quota] = recent.get(quota, _ZERO) + count
    return {quota: max(_ZERO, used - recent.get(quota, _ZERO)) for quota, used in limits}


def _excess(plan: Plan, use: Use, before: Mapping[str, Decimal]) -> list[Excess]:
    """The uses beyond the plan's quotas, of a day, of the days together as of a month, or of all time."""
    found = []
    for quota in plan.quotas:
        counts = [count for (_day, key), count in use.counts.items() if key == quota["key"]]
        if quota["period"] != "day":
            counts = [sum(counts, _ZERO)]
        maximum = Decimal(quota["maximum"])
        if quota["period"] == "ever":
            maximum = max(_ZERO, maximum - before.get(quota["key"], _ZERO))
        beyond = sum((count - maximum for count in counts if count > maximum), _ZERO)
        if beyond:
            found.append(Excess(quota["label"], beyond))
    return found


def _cost_on(
    plan: Plan,
    use: Use,
    before: Mapping[str, Decimal],
    packs: Sequence[PackOffer],
    *,
    is_current: bool,
    price: int | None,
) -> PlanCost:
    needed = {key: credits for key, credits in use.credits.items() if key[1] not in plan.unlimited_services}
    spent = sum(needed.values(), _ZERO)
    missing = _not_given_by(plan.allowances, needed)
    pack, number = _cheapest(packs, missing)
    return PlanCost(
        plan=plan,
        is_current=is_current,
        price=price or 0,
        spent=spent,
        pack=pack,
        packs=number,
        refused=missing if missing and pack is None else _ZERO,
        excess=_excess(plan, use, before),
    )


def _not_given_by(allowances: Sequence[Mapping[str, object]], needed: Credits) -> Decimal:
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


def _take(rest: Credits, credits: Decimal, keys: Sequence[tuple[date, str, str]], services: object) -> None:
    """Take up to `credits` from these uses; `services` limits them to some services or tags."""
    for key in keys:
        if credits <= 0:
            return
        if isinstance(services, list) and not (_covers(key[1]) | _covers(key[2])).intersection(services):
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


def _paid_a_month(subscription: Subscription) -> int:
    """What the account pays for its plan in a month, which may be another price than new members pay."""
    return -(-subscription.amount // 12) if subscription.interval == "year" else subscription.amount


def _price(plan: Plan, currency: str) -> int | None:
    """The plan's price for a month: a twelfth of the year's if it is sold by the year only. 0: free."""
    if not plan.paid:
        return 0
    month, year = (plan.prices.get(interval, {}).get(currency) for interval in ("month", "year"))
    if month is not None:
        return int(month)
    return None if year is None else -(-int(year) // 12)
