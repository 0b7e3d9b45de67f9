"""What an account without credits can do: upgrade the plan, wait for the next allowance, buy a pack.

Invariant: only plans and packs that this account may buy are offered; allowances are the account's own.
"""

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal, TypedDict
from uuid import UUID

from django.conf import settings
from django.urls import reverse

from billing import selectors
from billing.models import Allowance, Subscription
from billing.subscriptions import grace, plan_terms
from core.amounts import plain
from core.fields import instant
from core.json_types import CreditsText, TimeText, UrlText
from pricing import selectors as prices
from pricing.models import Pack, Plan


class Upgrade(TypedDict):
    """Subscribe to a plan that ranks higher."""

    kind: Annotated[str, Literal["upgrade"]]
    plan: str
    name: str
    url: UrlText


class Wait(TypedDict):
    """Wait until an allowance grants credits again."""

    kind: Annotated[str, Literal["wait"]]
    until: TimeText
    credits: CreditsText
    label: str


class Buy(TypedDict):
    """Buy a pack."""

    kind: Annotated[str, Literal["buy"]]
    pack: str
    name: str
    credits: CreditsText
    url: UrlText


WayOn = Upgrade | Wait | Buy


def options(account_id: UUID, now: datetime) -> list[WayOn]:
    """What the account can do, in the form of the API's field `ways_on`."""
    terms = plan_terms.get(account_id)
    return [*_upgrades(terms.plan), *_next_allowances(account_id, now), *_packs(paid_plan=terms.paid)]


def _upgrades(current_plan: str) -> list[Upgrade]:
    rank = Plan.objects.filter(key=current_plan).values_list("rank", flat=True).first()
    higher = Plan.objects.filter(legacy=False, retired_at=None, rank__gt=-1 if rank is None else rank)
    return [
        {"kind": "upgrade", "plan": plan.key, "name": plan.name, "url": _page_url("plans")}
        for plan in higher.order_by("rank", "position")
        if plan.paid
    ]


def _next_allowances(account_id: UUID, now: datetime) -> list[Wait]:
    """The next credits of each allowance; those of a renewal count unless the plan ends with its period."""
    allowances = Allowance.objects.filter(account_id=account_id, next_at__gt=now)
    subscription = selectors.subscription_of(account_id)
    is_renewed = subscription is not None and grace.is_renewed(subscription)
    waits = [
        _wait(allowance.next_at, allowance.credits, allowance.label)
        for allowance in allowances.order_by("next_at", "id")
        if allowance.next_at
        and (
            allowance.ends_at is None
            or allowance.next_at < allowance.ends_at
            or (is_renewed and allowance.ends_at > now)
        )
    ]
    if subscription is not None and subscription.cancel_at_period_end:
        waits += _free_plan_after(subscription, now)
    return sorted(waits, key=lambda wait: wait["until"])


def _free_plan_after(subscription: Subscription, now: datetime) -> list[Wait]:
    """The first credits of the free plan, which follows a plan that is cancelled at the end of its period."""
    free, begins_at = prices.free_plan(), subscription.period_end
    if free is None or begins_at is None or begins_at <= now:
        return []
    return [
        _wait(begins_at, Decimal(allowance["credits"]), allowance["label"])
        for allowance in free.allowances
        if allowance["period"] != "once"
    ]


def _wait(until: datetime, credits: Decimal, label: str) -> Wait:
    return {"kind": "wait", "until": instant(until), "credits": plain(credits), "label": label}


def _packs(*, paid_plan: bool) -> list[Buy]:
    packs = Pack.objects.filter(retired_at=None).order_by("position", "key")
    return [
        {
            "kind": "buy",
            "pack": pack.key,
            "name": pack.name,
            "credits": plain(pack.credits),
            "url": _page_url("buy"),
        }
        for pack in packs
        if paid_plan or not pack.paid_plans_only
    ]


def _page_url(name: str) -> str:
    return str(settings.SITE_URL) + reverse(name)
