"""A charge explained: what was counted, at which rate, with which multipliers, and which grants paid.

Invariant: everything comes from what was stored with the charge; nothing is computed from today's prices.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import UUID

from django.utils.dateparse import parse_datetime

from accounts.models import ApiKey, Project, User
from billing.models import Charge, Correction, Grant
from usage.dashboard import statistics

NONE = UUID(int=0)


@dataclass(frozen=True)
class PricedLine:
    meter: str
    quantity: Decimal
    unit_credits: Decimal
    per: Decimal
    multipliers: list[tuple[str, Decimal]]
    credits: Decimal
    blocks: Decimal | None


@dataclass(frozen=True)
class Drawn:
    kind: str
    label: str
    grant: str
    credits: Decimal


@dataclass(frozen=True)
class Explanation:
    service: str
    action: str
    conversation: str
    project: str
    project_id: str
    member: str
    api_key: str
    lines: list[PricedLine]
    rate_version: str
    rate_effective_at: datetime | None
    drawn: list[Drawn]
    options: list[tuple[str, str]]
    metadata: list[tuple[str, str]]
    returned: list[Correction]


def amount(value: Any) -> Decimal:
    """A figure out of stored JSON. What is none counts as 0 and cannot break the page."""
    try:
        return Decimal(str(value))
    except InvalidOperation:
        return Decimal(0)


def of(charge: Charge) -> Explanation:
    """All that is known of the charge, named in people's words."""
    detail: dict[str, Any] = charge.detail or {}
    rate = detail.get("rate") or {}
    names = statistics.service_names([name for name in (charge.service, charge.action) if name])
    project = Project.objects.filter(account_id=charge.account_id, pk=charge.project_id or NONE).first()
    member = User.objects.filter(pk=charge.member_id or NONE).first()
    api_key = ApiKey.objects.filter(pk=charge.api_key_id or NONE).first()
    returned = Correction.objects.filter(account_id=charge.account_id, charge_id=charge.pk)
    return Explanation(
        service=names[charge.service],
        action=names[charge.action] if charge.action else "",
        conversation=charge.conversation,
        project=project.name if project else "",
        project_id=project.public_id if project else "",
        member=member.email if member else "",
        api_key=api_key.name if api_key else "",
        lines=[_line(line) for line in detail.get("lines") or []],
        rate_version=str(rate.get("version") or ""),
        rate_effective_at=parse_datetime(str(rate.get("effective_at") or "")),
        drawn=list(_drawn(charge)),
        options=_pairs(detail.get("options")),
        metadata=_pairs(detail.get("metadata")),
        returned=list(returned.filter(kind=Correction.Kind.REVERSE).order_by("created_at")),
    )


def _pairs(told: Any) -> list[tuple[str, str]]:
    return [(str(key), str(value)) for key, value in told.items()] if isinstance(told, dict) else []


def _line(told: dict[str, Any]) -> PricedLine:
    meter = str(told.get("meter", ""))
    return PricedLine(
        meter=meter.replace("_", " "),
        quantity=amount(told.get("quantity")),
        unit_credits=amount(told.get("unit_credits")),
        per=amount(told.get("per", 1)),
        multipliers=[(str(name), amount(by)) for name, by in (told.get("multipliers") or {}).items()],
        credits=amount(told.get("credits")),
        blocks=amount(told["blocks"]) if told.get("blocks") else None,
    )


def _drawn(charge: Charge) -> Iterable[Drawn]:
    grants = Grant.objects.filter(account_id=charge.account_id).in_bulk(
        [UUID(str(part["grant"])) for part in charge.drawn]
    )
    for part in charge.drawn:
        grant = grants.get(UUID(str(part["grant"])))
        yield Drawn(
            kind=str(part.get("kind")),
            label=grant.label if grant else "",
            grant=grant.public_id if grant else "",
            credits=amount(part.get("credits")),
        )
