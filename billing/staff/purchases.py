"""Admin classes of purchases, refunds and disputes.

Invariants: records are shown and not edited; every decision requires a reason; actions run outside of the
admin's transaction, because they send requests to Stripe.
"""

import csv
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action

from billing import stripe_gateway
from billing.models import Dispute, Purchase, Refund
from billing.payments import fulfilment
from billing.purchases import checkout
from billing.refunds import dispute_evidence, requests
from billing.staff import revenue_report, tax_report
from core.staff_admin import ReadOnlyAdmin
from core.templatetags.credits import credits
from core.templatetags.money import money


class ReasonForm(forms.Form):
    """The reason for a decision, which is stored with it."""

    reason = forms.CharField(label=_("Reason"), max_length=1000, widget=forms.Textarea(attrs={"rows": 3}))


def _money_column(name: str, title: Any) -> Any:
    @admin.display(description=title, ordering=name)
    def column(_self: Any, record: Any) -> str:
        return money(getattr(record, name), record.currency)

    return column


@admin.display(description=_("credits"), ordering="credits")
def credits_column(_self: Any, record: Any) -> str:
    return credits(record.credits)


@admin.register(Purchase)
class PurchaseAdmin(ReadOnlyAdmin):
    list_display = [
        "label", "account", "status", "dispute_", "amount_", "refunded_", "origin", "created_at", "paid_at"
    ]  # fmt: skip
    list_filter = ["status", "disputes__status", "kind", "origin", "currency", "created_at"]
    search_fields = ["account__name", "invoice_number", "stripe_payment_id", "stripe_session_id"]
    list_select_related = ["account"]
    ordering = ["-created_at"]
    exclude = ["fingerprint"]
    actions_list = ["report"]
    actions_detail = ["release_payment", "cancel"]
    amount_ = _money_column("amount", _("amount"))
    refunded_ = _money_column("refunded", _("refunded"))
    list_amount_ = _money_column("list_amount", _("list amount"))
    tax_ = _money_column("tax", _("tax"))
    balance_used_ = _money_column("balance_used", _("balance used"))
    credits_ = credits_column

    def refusal(self, row: Purchase, name: str) -> str:
        if name == "release_payment" and row.status != Purchase.Status.QUARANTINED:
            return gettext("No payment of this purchase is held back. Nothing was changed.")
        if name == "cancel" and row.status != Purchase.Status.CREATED:
            state = {"state": row.get_status_display()}
            return gettext("Only an unpaid purchase can be cancelled. Status of this one: %(state)s.") % state
        return ""

    def get_queryset(self, request: HttpRequest) -> QuerySet[Purchase]:
        found: QuerySet[Purchase] = super().get_queryset(request)
        return found.prefetch_related("disputes")

    @admin.display(description=_("dispute"))
    def dispute_(self, purchase: Purchase) -> str:
        return str(Dispute.Status(purchase.dispute_status).label) if purchase.dispute_status else ""

    @action(description=_("Revenue by month"), url_path="report", permissions=["report"])
    def report(self, request: HttpRequest) -> HttpResponse:
        rows = revenue_report.report(timezone.now())
        if "csv" in request.GET:
            return _csv(rows)
        context = {
            **self.admin_site.each_context(request),
            "title": _("Revenue by month"),
            "rows": rows,
            "totals": sorted(revenue_report.totals(rows).items()),
            "taxes": tax_report.report(),
        }
        return render(request, "admin/billing/revenue_report.html", context)

    @action(description=_("Release a quarantined payment"), url_path="release", permissions=["release"])
    def release_payment(self, request: HttpRequest, object_id: str) -> HttpResponse:
        purchase = self.object_or_404(request, object_id)
        if answer := self.refused(request, purchase, "release_payment"):
            return answer
        form = ReasonForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            actor = f"{request.user}: {form.cleaned_data['reason']}"
            with transaction.atomic():
                purchase = fulfilment.lock_purchase(purchase.pk)
                if answer := self.refused(request, purchase, "release_payment"):  # released meanwhile
                    return answer
                before = purchase.status
                purchase = fulfilment.credit_quarantined(purchase, actor=actor, now=timezone.now())
                self.record(
                    request,
                    purchase,
                    "release",
                    reason=form.cleaned_data["reason"],
                    before={"status": before},
                    after={"status": purchase.status},
                )
            messages.success(
                request, _("New status of the purchase: %(state)s") % {"state": purchase.get_status_display()}
            )
            return redirect("admin:billing_purchase_change", object_id)
        context = {
            **self.admin_site.each_context(request),
            "title": _("Release the payment of %(label)s") % {"label": purchase.label},
            "lines": [purchase.error, str(purchase.account), money(purchase.amount, purchase.currency)],
            "form": form,
            "choices": [("release", _("Release payment"))],
            "back": reverse("admin:billing_purchase_change", args=[object_id]),
        }
        return render(request, "admin/billing/confirm_action.html", context)

    @action(description=_("Cancel an unpaid purchase"), url_path="cancel", permissions=["cancel"])
    def cancel(self, request: HttpRequest, object_id: str) -> HttpResponse:
        purchase = self.object_or_404(request, object_id)
        if answer := self.refused(request, purchase, "cancel"):
            return answer
        form = ReasonForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            with transaction.atomic():  # before the request to Stripe
                reason, before = form.cleaned_data["reason"], {"status": purchase.status}
                self.record(request, purchase, "cancel", reason=reason, before=before)
            try:
                purchase = checkout.cancel(purchase, timezone.now())
                text = _("New status of the purchase: %(state)s") % {"state": purchase.get_status_display()}
                cancelled = purchase.status == Purchase.Status.CANCELLED
                messages.add_message(request, messages.SUCCESS if cancelled else messages.WARNING, text)
            except stripe_gateway.StripeError as error:
                messages.error(request, _("Stripe refused: %(error)s") % {"error": error})
            return redirect("admin:billing_purchase_change", object_id)
        context = {
            **self.admin_site.each_context(request),
            "title": _("Cancel %(label)s?") % {"label": purchase.label},
            "lines": [
                str(purchase.account),
                money(purchase.amount, purchase.currency),
                _("Its payment page is closed first. A purchase that was paid meanwhile stays paid."),
            ],
            "form": form,
            "choices": [("cancel", _("Cancel purchase"))],
            "back": reverse("admin:billing_purchase_change", args=[object_id]),
        }
        return render(request, "admin/billing/confirm_action.html", context)

    def has_cancel_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return request.user.has_perm("billing.change_purchase")  # type: ignore[union-attr]

    def has_report_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return request.user.has_perm("billing.view_reconciliation")  # type: ignore[union-attr]

    def has_release_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return request.user.has_perm("billing.change_purchase")  # type: ignore[union-attr]


def _csv(rows: list[revenue_report.MonthlyRevenue]) -> HttpResponse:
    """Amounts in minor units, one line for each month and currency; no cell contains user input."""
    response = HttpResponse(content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = 'attachment; filename="money.csv"'
    writer = csv.writer(response)
    writer.writerow(["month", "currency", *revenue_report.COLUMNS, "owed", "tax"])
    for row in rows:
        figures = [getattr(row, name) for name in revenue_report.COLUMNS]
        writer.writerow([f"{row.month:%Y-%m}", row.currency, *figures, row.owed, row.tax])
    return response


@admin.register(Refund)
class RefundAdmin(ReadOnlyAdmin):
    list_display = ["purchase", "account", "status", "amount_", "created_at", "decided_by", "error"]
    list_filter = ["status", "created_at"]
    search_fields = ["account__name", "stripe_refund_id"]
    list_select_related = ["purchase", "account"]
    ordering = ["-created_at"]
    actions_detail = ["decide"]
    amount_ = _money_column("amount", _("amount"))
    credits_ = credits_column

    def refusal(self, row: Refund, name: str) -> str:
        if name == "decide" and row.status != Refund.Status.REQUESTED:
            return gettext("This request was already decided or withdrawn.")
        return ""

    @action(description=_("Approve or refuse refund"), url_path="decide", permissions=["decide"])
    def decide(self, request: HttpRequest, object_id: str) -> HttpResponse:
        refund = self.object_or_404(request, object_id)
        if answer := self.refused(request, refund, "decide"):
            return answer
        form = ReasonForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            self._decide(request, refund, form.cleaned_data["reason"])
            return redirect("admin:billing_refund_change", object_id)
        lines = [str(refund.account), refund.purchase.label, refund.buyer_reason]
        context = {
            **self.admin_site.each_context(request),
            "title": _("Refund %(sum)s?") % {"sum": money(refund.amount, refund.currency)},
            "lines": [line for line in lines if line],
            "form": form,
            "choices": [("approve", _("Approve refund")), ("refuse", _("Refuse refund"))],
            "back": reverse("admin:billing_refund_change", args=[object_id]),
        }
        return render(request, "admin/billing/confirm_action.html", context)

    def _decide(self, request: HttpRequest, refund: Refund, reason: str) -> None:
        actor, now = str(request.user), timezone.now()
        try:
            if request.POST.get("choice") == "approve":
                refund = requests.approve(refund, actor=actor, reason=reason, by=request.user.pk, now=now)
                message = _("Refund approved. Status: %(state)s") % {"state": refund.get_status_display()}
                messages.success(request, message)
            else:
                with transaction.atomic():
                    requests.refuse(refund, actor=actor, reason=reason, now=now)
                    before, after = {"status": refund.status}, {"status": Refund.Status.REFUSED}
                    self.record(request, refund, "refuse", reason=reason, before=before, after=after)
                messages.success(request, _("Refund refused. The buyer gets an e-mail with the reason."))
        except requests.RefundRefused as error:
            messages.error(request, str(error))

    def has_decide_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return request.user.has_perm("billing.change_refund")  # type: ignore[union-attr]


@admin.register(Dispute)
class DisputeAdmin(ReadOnlyAdmin):
    list_display = ["purchase", "account", "status", "amount_", "reason", "evidence_due_at", "created_at"]
    list_filter = ["status"]
    list_select_related = ["purchase", "account"]
    ordering = ["-created_at"]
    actions_detail = ["evidence_sheet"]
    amount_ = _money_column("amount", _("amount"))
    credits_ = credits_column

    @action(description=_("Dispute evidence"), url_path="evidence", permissions=["view"])
    def evidence_sheet(self, request: HttpRequest, object_id: str) -> HttpResponse:
        dispute = self.object_or_404(request, object_id)
        context = {
            **self.admin_site.each_context(request),
            "title": _("Dispute evidence"),
            "sheet": dispute_evidence.collect(dispute),
        }
        return render(request, "admin/billing/dispute_evidence.html", context)
