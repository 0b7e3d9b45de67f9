"""What somebody can do who has run out of credits: a larger plan, the next credits, a pack.

Invariant: nothing is offered that this account could not have; times and plans are the account's own.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.urls import NoReverseMatch, reverse

from billing import selectors
from billing.models import Allowance
from core.amounts import plain
from core.fields import instant
from pricing.models import Pack, Plan


def ways_on(account_id: UUID, now: datetime) -> list[dict[str, Any]]:
    """The ways, as the API's refusal lists them: {"kind": "upgrade" | "wait" | "buy", …}."""
    terms = selectors.plan_terms(account_id)
    return [*_upgrades(terms.plan), *_waits(account_id, now), *_packs(paid=terms.paid)]


def _upgrades(current: str) -> list[dict[str, Any]]:
    rank = Plan.objects.filter(key=current).values_list("rank", flat=True).first()
    higher = Plan.objects.filter(legacy=False, retired_at=None, rank__gt=-1 if rank is None else rank)
    return [
        {"kind": "upgrade", "plan": plan.key, "name": plan.name, "url": _page("plans")}
        for plan in higher.order_by("rank", "position")
        if plan.paid
    ]


def _waits(account_id: UUID, now: datetime) -> list[dict[str, Any]]:
    coming = Allowance.objects.filter(account_id=account_id, next_at__gt=now)
    return [
        {
            "kind": "wait",
            "until": instant(allowance.next_at),
            "credits": plain(allowance.credits),
            "label": allowance.label,
        }
        for allowance in coming.order_by("next_at", "id")
        if allowance.next_at and (allowance.ends_at is None or allowance.next_at < allowance.ends_at)
    ]


def _packs(*, paid: bool) -> list[dict[str, Any]]:
    packs = Pack.objects.filter(retired_at=None).order_by("position", "key")
    return [
        {
            "kind": "buy",
            "pack": pack.key,
            "name": pack.name,
            "credits": plain(pack.credits),
            "url": _page("buy"),
        }
        for pack in packs
        if paid or not pack.paid_plans_only
    ]


def _page(name: str) -> str:
    """The page's full address; the site's own where this installation has no such page."""
    try:
        return str(settings.SITE_URL) + reverse(name)
    except NoReverseMatch:
        return str(settings.SITE_URL)
