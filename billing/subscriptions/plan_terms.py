"""The terms of an account's plan that charging needs, cached in each process for a second.

Invariants: a plan change made in this process is seen at once (`forget`), one made in another process after
at most LIFETIME_SECONDS; an account whose payment is overdue has no unlimited services.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from billing.models import Subscription
from core import prepared
from core.caches import TimedCache
from pricing.models import Plan

LIFETIME_SECONDS = 1.0  # of which a plan's own terms take up to half
MAX_ACCOUNTS = 20_000


@dataclass(frozen=True, slots=True)
class Quota:
    key: str
    label: str
    maximum: Decimal
    period: str


@dataclass(frozen=True, slots=True)
class PlanTerms:
    plan: str
    name: str
    badge: str
    legacy: bool
    paid: bool
    past_due: bool
    unlimited_services: frozenset[str]
    quotas: Mapping[str, Quota]


NO_PLAN = PlanTerms("", "", "", False, False, False, frozenset(), {})
_FIND = (
    "select account_id, plan, state from billing_subscription where account_id = any(%(accounts)s::uuid[])"
)
_plans: TimedCache[str, Plan] = TimedCache(seconds=LIFETIME_SECONDS / 2, max_entries=1000)
_cache: TimedCache[UUID, PlanTerms] = TimedCache(seconds=LIFETIME_SECONDS / 2, max_entries=MAX_ACCOUNTS)


def get(account_id: UUID) -> PlanTerms:
    """The terms of the account's plan; NO_PLAN when it has none."""
    return _cache.get_or_load(account_id, _read)


def load(account_ids: Collection[UUID]) -> None:
    """Read the terms of accounts that are not cached in one query, so that `get` finds them."""
    _cache.get_or_load_many(account_ids, _read_many)


def forget(account_id: UUID) -> None:
    """Read the account's terms again at the next use in this process."""
    _cache.forget(account_id)


def forget_all() -> None:
    """Read all terms again at their next use in this process."""
    _plans.clear()
    _cache.clear()


def _read(account_id: UUID) -> PlanTerms:
    return _read_many([account_id])[account_id]


def _read_many(account_ids: Sequence[UUID]) -> dict[UUID, PlanTerms]:
    rows = prepared.rows(_FIND, {"accounts": prepared.array(account_ids)})
    plans = _plans.get_or_load_many({plan for _account_id, plan, _state in rows}, _read_plans)
    terms = {account_id: _terms(plans[plan], state) for account_id, plan, state in rows if plan in plans}
    return {account_id: terms.get(account_id, NO_PLAN) for account_id in account_ids}


def _read_plans(keys: Sequence[str]) -> dict[str, Plan]:
    return Plan.objects.in_bulk(keys, field_name="key")


def _terms(plan: Plan, state: str) -> PlanTerms:
    past_due = state != Subscription.State.ACTIVE
    return PlanTerms(
        plan=plan.key,
        name=plan.name,
        badge=plan.badge,
        legacy=plan.legacy,
        paid=plan.paid,
        past_due=past_due,
        unlimited_services=frozenset() if past_due else frozenset(plan.unlimited_services),
        quotas={
            quota["key"]: Quota(quota["key"], quota["label"], Decimal(quota["maximum"]), quota["period"])
            for quota in plan.quotas
        },
    )
