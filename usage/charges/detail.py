"""One charge in detail: quantities, rate, multipliers, and the grants that paid for it.

Invariant: everything comes from what was stored with the charge; nothing is computed from current prices.
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
from pricing.rates.meters import METERS
from pricing.rates.quotes import Line
from usage import selectors
from usage.charges.stored_detail import restored


@dataclass(frozen=True)
class PricedLine:
    """One line of the charge's price: `quantity` of a meter at `unit_credits` per `per` units."""

    meter: str
    quantity: Decimal
    unit_credits: Decimal
    per: Decimal
    multipliers: list[tuple[str, Decimal]]
    credits: Decimal
    blocks: Decimal | None


@dataclass(frozen=True)
class DrawnGrant:
    """Credits that the charge took from one grant."""

    kind: str
    label: str
    grant: str
    credits: Decimal


@dataclass(frozen=True)
class ChargeDetail:
    """A charge with names instead of ids, its price lines, its grants and its reversals."""

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
    drawn: list[DrawnGrant]
    options: list[tuple[str, str]]
    metadata: list[tuple[str, str]]
    reversals: list[Correction]


def of(charge: Charge) -> ChargeDetail:
    """The charge in detail."""
    stored = restored(charge.detail or {})
    rate = stored["rate"]
    names = selectors.service_names([key for key in (charge.service, charge.action) if key])
    project = Project.objects.filter(
        account_id=charge.account_id, pk=charge.project_id or selectors.NO_ID
    ).first()
    member = User.objects.filter(pk=charge.member_id or selectors.NO_ID).first()
    api_key = ApiKey.objects.filter(pk=charge.api_key_id or selectors.NO_ID).first()
    reversals = Correction.objects.filter(
        account_id=charge.account_id, charge_id=charge.pk, kind=Correction.Kind.REVERSE
    )
    return ChargeDetail(
        service=names[charge.service],
        action=names[charge.action] if charge.action else "",
        conversation=charge.conversation,
        project=project.name if project else "",
        project_id=project.public_id if project else "",
        member=member.email if member else "",
        api_key=api_key.name if api_key else "",
        lines=[_priced_line(line) for line in stored["lines"]],
        rate_version=rate["version"],
        rate_effective_at=parse_datetime(rate["effective_at"]),
        drawn=list(_drawn_grants(charge)),
        options=_text_pairs(stored["options"]),
        metadata=_text_pairs(stored["metadata"]),
        reversals=list(reversals.order_by("created_at")),
    )


def _number(value: Any) -> Decimal:
    """A number from stored JSON. A malformed value counts as 0 and does not break the page."""
    try:
        return Decimal(str(value))
    except InvalidOperation:
        return Decimal(0)


def _text_pairs(stored: Any) -> list[tuple[str, str]]:
    return [(str(key), str(value)) for key, value in stored.items()] if isinstance(stored, dict) else []


def _priced_line(line: Line) -> PricedLine:
    meter = str(line.get("meter", ""))
    return PricedLine(
        meter=str(METERS.get(meter, meter)),
        quantity=_number(line.get("quantity")),
        unit_credits=_number(line.get("unit_credits")),
        per=_number(line.get("per", 1)),
        multipliers=[
            (str(name), _number(factor)) for name, factor in (line.get("multipliers") or {}).items()
        ],
        credits=_number(line.get("credits")),
        blocks=_number(line["blocks"]) if line.get("blocks") else None,
    )


def _drawn_grants(charge: Charge) -> Iterable[DrawnGrant]:
    grants = Grant.objects.filter(account_id=charge.account_id).in_bulk(
        [UUID(str(part["grant"])) for part in charge.drawn]
    )
    for part in charge.drawn:
        grant = grants.get(UUID(str(part["grant"])))
        yield DrawnGrant(
            kind=str(part.get("kind")),
            label=grant.label if grant else "",
            grant=grant.public_id if grant else "",
            credits=_number(part.get("credits")),
        )
