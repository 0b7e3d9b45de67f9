"""Charges as a list: every call with its time, service and credits, covered ones included.

Invariant: newest first by (time, id), so that paging neither skips nor repeats while calls arrive.
"""

from dataclasses import dataclass
from typing import Any

from django.db.models import Q

from accounts.models import Account, Project
from billing.models import Charge
from usage.dashboard import statistics
from usage.dashboard.statistics import Period

PAGE = 25


@dataclass(frozen=True)
class Call:
    charge: Charge
    title: str
    project: str


@dataclass(frozen=True)
class Page:
    calls: list[Call]
    before: str  # the cursor of the next page, empty at the end


def find(account: Account, public_id: str) -> Charge | None:
    """The account's charge of that name; None for a charge of others, or no name at all."""
    charge_id = Charge.uuid_of(public_id)
    return Charge.objects.filter(account=account, pk=charge_id).first() if charge_id else None


def page_of(
    account: Account, period: Period, wanted: dict[str, Any], *, after: str = "", size: int = PAGE
) -> Page:
    """Calls of a period, narrowed by columns, those older than the charge `after` (a public id)."""
    rows = statistics.charges_in(account, period).filter(**wanted)
    last = find(account, after) if after else None
    if last is not None:
        rows = rows.filter(Q(created_at__lt=last.created_at) | Q(created_at=last.created_at, pk__lt=last.pk))
    found = list(rows.order_by("-created_at", "-pk")[: size + 1])
    shown = found[:size]
    return Page(
        calls=named(account, shown), before=shown[-1].public_id if len(found) > size and shown else ""
    )


def newer_than(
    account: Account, period: Period, wanted: dict[str, Any], *, seen: str, most: int = PAGE
) -> list[Call]:
    """Calls that have arrived after the charge `seen` (a public id; without one: all), newest first."""
    rows = statistics.charges_in(account, period).filter(**wanted)
    last = find(account, seen) if seen else None
    if last is not None:
        rows = rows.filter(Q(created_at__gt=last.created_at) | Q(created_at=last.created_at, pk__gt=last.pk))
    return named(account, list(rows.order_by("-created_at", "-pk")[:most]))


def named(account: Account, charges: list[Charge]) -> list[Call]:
    """Charges with the names of what they were for."""
    names = statistics.service_names(
        [name for charge in charges for name in (charge.service, charge.action) if name]
    )
    named = {charge.project_id for charge in charges if charge.project_id}
    projects = dict(Project.objects.filter(account=account, pk__in=named).values_list("pk", "name"))
    return [
        Call(
            charge=charge,
            title=" · ".join(dict.fromkeys(names[name] for name in (charge.action, charge.service) if name)),
            project=projects.get(charge.project_id, "") if charge.project_id else "",
        )
        for charge in charges
    ]
