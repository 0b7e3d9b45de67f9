"""The admin's first page: figures that show whether something needs attention, each linked to its list.

Invariant: no figure sums the ledger; each comes from stored balances or an index.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db import OperationalError
from django.db.models import Model, QuerySet, Sum
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.timesince import timesince
from django.utils.translation import gettext_lazy as _

from accounts.models import Account, TeamRequest, User, WebhookEndpoint
from billing.models import Audit, CreditAdjustment, Dispute, Refund, StripeEvent, StripePrice, Wallet
from config import admin_charts, health
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
    if request.user.is_authenticated:
        context["figures"] = _figures(request)
        if request.user.has_perm("billing.view_reconciliation"):  # as for the report of revenue
            now = timezone.now()
            context["charts"] = [*admin_charts.of_money(now), *admin_charts.of_credits(now)]
    return context


def _figures(request: HttpRequest) -> list[Figure]:
    rows: list[tuple[Any, type[Model], Decimal | int, bool]] = [
        (_("Users"), User, User.objects.filter(is_active=True).count(), False),
        (_("Accounts"), Account, Account.objects.filter(erased_at=None).count(), False),
        *_sums(),
    ]
    for label, waiting in (
        (_("Stripe events to review"), StripeEvent.objects.filter(state__in=["failed", "quarantined"])),
        (_("Webhook endpoints that fail"), WebhookEndpoint.objects.filter(failing_since__isnull=False)),
        (_("Stripe prices without a plan"), StripePrice.objects.filter(plan_key="")),
        (_("Requested refunds"), Refund.objects.filter(status="requested")),
        (_("Open disputes"), Dispute.objects.filter(status__in=Dispute.UNDECIDED)),
        (_("Team requests"), TeamRequest.objects.filter(status="open")),
        (_("Adjustments to approve"), _adjustments_to_approve(request)),
        (_("Reported charges"), ChargeReport.objects.filter(status="open")),
    ):
        number = waiting.count()
        rows.append((label, waiting.model, number, number > 0))
    figures = [
        Figure(label=label, value=credits_brief(value), url=_address(model), waits=waits)
        for label, model, value, waits in rows
        if request.user.has_perm(f"{model._meta.app_label}.view_{model._meta.model_name}")  # type: ignore[union-attr]
    ]
    return [*figures, _last_audit()]


def _sums() -> list[tuple[Any, type[Model], Decimal | int, bool]]:
    """The credits of all accounts; nothing while a node that has some of them does not answer."""
    try:
        sums = Wallet.objects.aggregate(balance=Sum("balance"), debt=Sum("debt"))
    except OperationalError:
        return []
    debt = sums["debt"] or Decimal(0)
    return [
        (_("Credits in accounts"), Wallet, sums["balance"] or Decimal(0), False),
        (_("Credits owed by accounts"), Wallet, debt, debt > 0),
    ]


def _last_audit() -> Figure:
    """When the ledger was last audited, or what is wrong with it."""
    state = health.audit_state()
    newest = Audit.objects.order_by("pk").last()
    if state == "ok":
        time = {"time": timesince(newest.finished_at)} if newest else {}
        value = _("%(time)s ago, no findings") % time if newest else _("Not run yet")
        return Figure(label=_("Last audit of the ledger"), value=str(value), url="")
    return Figure(label=_("Last audit of the ledger"), value=state, url="", waits=True)


def _adjustments_to_approve(request: HttpRequest) -> QuerySet[CreditAdjustment]:
    """The requests of others that have not expired."""
    requested = CreditAdjustment.objects.filter(status="requested", expires_at__gt=timezone.now())
    return requested.exclude(requested_by=request.user.pk)


def _address(model: type[Model]) -> str:
    name = f"{model._meta.app_label}_{model._meta.model_name}"
    return reverse(f"admin:{name}_changelist")
