"""Reads of billing for pages, the API and the path of a charge. Nothing here changes anything."""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from django.db.models import QuerySet, Sum

from billing.models import BillingProfile, Grant, Limit, Purchase, Subscription
from pricing.models import Plan

_TERMS_SECONDS = 1.0
_MOST_TERMS = 20_000


@dataclass(frozen=True, slots=True)
class Quota:
    key: str
    label: str
    maximum: Decimal
    period: str


@dataclass(frozen=True, slots=True)
class PlanTerms:
    """What the path of a charge needs of an account's plan."""

    plan: str
    name: str
    badge: str
    legacy: bool
    paid: bool
    past_due: bool
    unlimited_services: frozenset[str]
    quotas: Mapping[str, Quota]


NOTHING = Decimal(0)
NO_TERMS = PlanTerms("", "", "", False, False, False, frozenset(), {})
_terms: dict[UUID, tuple[float, PlanTerms]] = {}
_guard = threading.Lock()


def plan_terms(account_id: UUID) -> PlanTerms:
    """The account's plan, remembered for a second in each process (a change made in this one: at once)."""
    known = _terms.get(account_id)
    if known is not None and time.monotonic() - known[0] < _TERMS_SECONDS:
        return known[1]
    terms = _read_terms(account_id)
    with _guard:
        if len(_terms) >= _MOST_TERMS:
            _terms.clear()
        _terms[account_id] = (time.monotonic(), terms)
    return terms


def forget_terms(account_id: UUID) -> None:
    with _guard:
        _terms.pop(account_id, None)


def _read_terms(account_id: UUID) -> PlanTerms:
    row = Subscription.objects.filter(account_id=account_id).values_list("plan", "state").first()
    plan = Plan.objects.filter(key=row[0]).first() if row else None
    if row is None or plan is None:
        return NO_TERMS
    past_due = row[1] == Subscription.State.PAST_DUE
    return PlanTerms(
        plan=plan.key,
        name=plan.name,
        badge=plan.badge,
        legacy=plan.legacy,
        paid=plan.paid,
        past_due=past_due,
        unlimited_services=frozenset() if past_due else frozenset(plan.unlimited_services),
        quotas={
            q["key"]: Quota(q["key"], q["label"], Decimal(q["maximum"]), q["period"]) for q in plan.quotas
        },
    )


def subscription_of(account_id: UUID) -> Subscription | None:
    return Subscription.objects.filter(account_id=account_id).first()


def has_paid_plan(account_id: UUID) -> bool:
    """Whether the account's plan is one that costs money (legacy plans that once did included)."""
    terms = plan_terms(account_id)
    return terms.paid and not terms.past_due


def profile_of(account_id: UUID) -> BillingProfile:
    """The account as a buyer; an unsaved empty one when it never bought."""
    return BillingProfile.objects.filter(pk=account_id).first() or BillingProfile(account_id=account_id)


def purchases_of(account_id: UUID) -> QuerySet[Purchase]:
    """The account's purchases, newest first."""
    return Purchase.objects.filter(account_id=account_id).order_by("-created_at", "-id")


def credits_left(purchase: Purchase) -> Decimal:
    """What of a purchase's credits is unspent (set-aside credits are not counted)."""
    grants = Grant.objects.filter(account_id=purchase.account_id, purchase_id=purchase.pk)
    return grants.aggregate(left=Sum("remaining"))["left"] or Decimal(0)


def credits_left_of(purchases: list[Purchase]) -> dict[UUID, Decimal]:
    """The same for many purchases at once."""
    rows = Grant.objects.filter(purchase_id__in=[purchase.pk for purchase in purchases])
    return dict(rows.values_list("purchase_id").annotate(left=Sum("remaining")))


def quotas_of(account_id: UUID) -> list[tuple[Quota, Decimal]]:
    """The plan's counted allowances with how much of each is used."""
    used = dict(
        Limit.objects.filter(account_id=account_id, kind=Limit.Kind.QUOTA).values_list("subject", "used")
    )
    return [(quota, used.get(quota.key, Decimal(0))) for quota in plan_terms(account_id).quotas.values()]
