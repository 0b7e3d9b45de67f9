"""Evidence for a disputed payment: the purchase and how its credits were used.

Invariant: everything is read from stored entries and charges; nothing is recomputed.
"""

from dataclasses import dataclass
from decimal import Decimal

from django.db.models import Max, Min, Sum

from billing.models import Charge, Dispute, Entry, Grant


@dataclass(frozen=True)
class ServiceUse:
    """Credits of the purchase spent on one service."""

    service: str
    credits: Decimal
    calls: int


@dataclass(frozen=True)
class Evidence:
    """The evidence that staff send to the bank."""

    dispute: Dispute
    spent: Decimal
    first_use: object
    last_use: object
    uses: list[ServiceUse]
    charges: list[Charge]


def collect(dispute: Dispute) -> Evidence:
    """Collect the evidence for a dispute; the newest 100 charges that its credits paid for."""
    paid = Grant.objects.filter(account_id=dispute.account_id, purchase_id=dispute.purchase_id)
    grants = list(paid.values_list("pk", flat=True))
    entries = Entry.objects.filter(account_id=dispute.account_id, kind=Entry.Kind.CHARGE, grant_id__in=grants)
    facts = entries.aggregate(sum=Sum("credits"), first=Min("created_at"), last=Max("created_at"))
    by_charge = dict(entries.values_list("charge_id").annotate(sum=Sum("credits")))
    charges = Charge.objects.filter(account_id=dispute.account_id, pk__in=list(by_charge))
    sums: dict[str, list[Decimal]] = {}
    for pk, service in charges.values_list("pk", "service"):
        sums.setdefault(service, []).append(-by_charge[pk])
    uses = [ServiceUse(service, sum(parts, Decimal(0)), len(parts)) for service, parts in sums.items()]
    return Evidence(
        dispute=dispute,
        spent=-(facts["sum"] or Decimal(0)),
        first_use=facts["first"],
        last_use=facts["last"],
        uses=sorted(uses, key=lambda use: use.credits, reverse=True),
        charges=list(charges.order_by("-created_at")[:100]),
    )
