"""The admin's first page: figures that show whether something needs attention, each linked to its list.

Invariant: no figure sums the ledger; each comes from stored balances or an index.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db.models import Model, QuerySet, Sum
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import Account, TeamRequest, User
from billing.models import CreditAdjustment, Dispute, Refund, StripeEvent, StripePrice, Wallet
from core.templatetags.credits import credits_brief
from usage.models import ChargeReport


@dataclass(frozen=True)
class Figure:
    label: Any
    value: str
    url: str
    waits: bool = False  # needs attention


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """unfold's DASHBOARD_CALLBACK: the context of admin/index.html."""
    context["figures"] = _figures(request) if request.user.is_authenticated else []
    return context


def _figures(request: HttpRequest) -> list[Figure]:
    sums = Wallet.objects.aggregate(balance=Sum("balance"), debt=Sum("debt"))
    debt = sums["debt"] or Decimal(0)
    rows: list[tuple[Any, type[Model], Decimal | int, bool]] = [
        (_("Users"), User, User.objects.filter(is_active=True).count(), False),
        (_("Accounts"), Account, Account.objects.filter(erased_at=None).count(), False),
        (_("Credits in accounts"), Wallet, sums["balance"] or Decimal(0), False),
        (_("Credits owed by accounts"), Wallet, debt, debt > 0),
    ]
    for label, waiting in (
        (_("Stripe events to review"), StripeEvent.objects.filter(state__in=["failed", "quarantined"])),
        (_("Stripe prices without a plan"), StripePrice.objects.filter(plan_key="")),
        (_("Requested refunds"), Refund.objects.filter(status="requested")),
        (_("Open disputes"), Dispute.objects.filter(status__in=Dispute.UNDECIDED)),
        (_("Team requests"), TeamRequest.objects.filter(status="open")),
        (_("Adjustments to approve"), _adjustments_to_approve(request)),
        (_("Reported charges"), ChargeReport.objects.filter(status="open")),
    ):
        number = waiting.count()
        rows.append((label, waiting.model, number, number > 0))
    return [
        Figure(label=label, value=credits_brief(value), url=_address(model), waits=waits)
        for label, model, value, waits in rows
        if request.user.has_perm(f"{model._meta.app_label}.view_{model._meta.model_name}")  # type: ignore[union-attr]
    ]


def _adjustments_to_approve(request: HttpRequest) -> QuerySet[CreditAdjustment]:
    """The requests of others that have not expired."""
    requested = CreditAdjustment.objects.filter(status="requested", expires_at__gt=timezone.now())
    return requested.exclude(requested_by=request.user.pk)


def _address(model: type[Model]) -> str:
    name = f"{model._meta.app_label}_{model._meta.model_name}"
    return reverse(f"admin:{name}_changelist")
