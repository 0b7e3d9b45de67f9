"""An account's charges, page by page: every call with its time, service and credits, covered ones included.

Invariant: newest first by (time, id), so that paging neither skips nor repeats charges while new ones arrive.
"""

from dataclasses import dataclass
from typing import Any

from django.db.models import Q

from accounts.models import Account, Project
from billing.models import Charge
from usage import selectors
from usage.periods import Period

PAGE_SIZE = 25


@dataclass(frozen=True)
class ChargeRow:
    """A charge with the names of its service and project."""

    charge: Charge
    title: str
    project: str


@dataclass(frozen=True)
class ChargePage:
    """Charges of one page. `before` is the cursor of the next page, empty at the end."""

    charge_rows: list[ChargeRow]
    before: str


def page_of(
    account: Account,
    period: Period,
    *,
    filters: dict[str, Any],
    after: str = "",
    size: int = PAGE_SIZE,
) -> ChargePage:
    """The newest charges of a period, or those older than the charge `after` (a public id).

    `filters` are columns of Charge.
    """
    query = selectors.charges_in(account, period).filter(**filters)
    last = selectors.charge(account.pk, after) if after else None
    if last is not None:
        query = query.filter(
            Q(created_at__lt=last.created_at) | Q(created_at=last.created_at, pk__lt=last.pk)
        )
    found = list(query.order_by("-created_at", "-pk")[: size + 1])
    charges = found[:size]
    has_more = len(found) > size
    return ChargePage(
        charge_rows=with_names(account, charges), before=charges[-1].public_id if has_more else ""
    )


def newer_than(
    account: Account, period: Period, *, filters: dict[str, Any], seen: str, limit: int = PAGE_SIZE
) -> list[ChargeRow]:
    """Charges made after the charge `seen` (a public id; empty: all of the period), newest first."""
    query = selectors.charges_in(account, period).filter(**filters)
    last = selectors.charge(account.pk, seen) if seen else None
    if last is not None:
        query = query.filter(
            Q(created_at__gt=last.created_at) | Q(created_at=last.created_at, pk__gt=last.pk)
        )
    return with_names(account, list(query.order_by("-created_at", "-pk")[:limit]))


def with_names(account: Account, charges: list[Charge]) -> list[ChargeRow]:
    """Charges with the names of their services and projects, in two queries at most."""
    services = selectors.service_names(
        [key for charge in charges for key in (charge.service, charge.action) if key]
    )
    project_ids = {charge.project_id for charge in charges if charge.project_id}
    projects = dict(Project.objects.filter(account=account, pk__in=project_ids).values_list("pk", "name"))
    return [
        ChargeRow(
            charge=charge,
            title=" · ".join(dict.fromkeys(services[key] for key in (charge.action, charge.service) if key)),
            project=projects.get(charge.project_id, "") if charge.project_id else "",
        )
        for charge in charges
    ]
