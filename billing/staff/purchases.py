"""What staff see and do about money: purchases, refunds, disputes, plans, promotions.

Invariants: what happened is shown and never edited; deciding asks for a reason; nothing here is called inside
the admin's own transaction, because Stripe is asked.
"""

import csv
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action

from billing.models import AutoTopUp, Dispute, Promotion, Purchase, Redemption, Referral, Refund, Subscription
from billing.payments import fulfilment
from billing.refunds import dispute_evidence, requests
from billing.staff import revenue_report
from billing.subscriptions import lifecycle
from core.staff_admin import ReadOnlyAdmin, StaffAdmin
from core.templatetags.money import money
from pricing.models import Plan


class Reasoned(forms.Form):
    """A decision and its reason."""

    reason = forms.CharField(label=_("Reason"), max_length=1000, widget=forms.Textarea(attrs={"rows": 3}))


class Placing(Reasoned):
    plan = forms.ModelChoiceField(
        label=_("Plan"), queryset=Plan.objects.filter(retired_at=None), to_field_name="key"
    )


def _money(name: str, title: Any) -> Any:
    @admin.display(description=title, ordering=name)
    def column(_self: Any, row: Any) -> str:
        return money(getattr(row, name), row.currency)

    return column


@admin.register(Purchase)
class PurchaseAdmin(ReadOnlyAdmin):
    list_display = ["label", "account", "status", "amount_", "refunded_", "origin", "created_at", "paid_at"]
    list_filter = ["status", "kind", "origin", "currency", "created_at"]
    search_fields = ["account__name", "invoice_number", "stripe_payment_id", "stripe_session_id"]
    list_select_related = ["account"]
    ordering = ["-created_at"]
    exclude = ["fingerprint"]
    actions_list = ["report"]
    actions_detail = ["release_payment"]
    amount_ = _money("amount", _("amount"))
    refunded_ = _money("refunded", _("refunded"))

    @action(description=_("Revenue by month"), url_path="report", permissions=["view"])
    def report(self, request: HttpRequest) -> HttpResponse:
        rows = revenue_report.report(timezone.now())
        if "csv" in request.GET:
            return _csv(rows)
        context = {
            **self.admin_site.each_context(request),
            "title": _("Revenue by month"),
            "rows": rows,
            "totals": sorted(revenue_report.totals(rows).items()),
        }
        return render(request, "admin/billing/revenue_report.html", context)

    @action(description=_("Release a quarantined payment"), url_path="release", permissions=["release"])
    def release_payment(self, request: HttpRequest, object_id: str) -> HttpResponse:
        purchase = get_object_or_404(Purchase, pk=object_id)
        form = Reasoned(request.POST or None)
        if request.method == "POST" and form.is_valid():
            actor = f"{request.user}: {form.cleaned_data['reason']}"
            after = fulfilment.credit_quarantined(purchase, actor=actor, now=timezone.now())
            messages.success(
                request, _("New status of the purchase: %(state)s") % {"state": after.get_status_display()}
            )
            return redirect("admin:billing_purchase_change", object_id)
        context = {
            **self.admin_site.each_context(request),
            "title": _("Release the payment of %(label)s") % {"label": purchase.label},
            "lines": [purchase.trouble, str(purchase.account), money(purchase.amount, purchase.currency)],
            "form": form,
            "choices": [("release", _("Release payment"))],
            "back": reverse("admin:billing_purchase_change", args=[object_id]),
        }
        return render(request, "admin/billing/confirm_action.html", context)

    def has_release_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return request.user.has_perm("billing.change_purchase")  # type: ignore[union-attr]


def _csv(rows: list[revenue_report.Row]) -> HttpResponse:
    """Minor units, one line for each month and currency. The cells are figures and codes of ours."""
    answer = HttpResponse(content_type="text/csv; charset=utf-8")
    answer["Content-Disposition"] = 'attachment; filename="money.csv"'
    writer = csv.writer(answer)
    writer.writerow(["month", "currency", *revenue_report.COLUMNS, "owed"])
    for row in rows:
        figures = [getattr(row, name) for name in revenue_report.COLUMNS]
        writer.writerow([f"{row.month:%Y-%m}", row.currency, *figures, row.owed])
    return answer


@admin.register(Refund)
class RefundAdmin(ReadOnlyAdmin):
    list_display = ["purchase", "account", "status", "amount_", "created_at", "decided_by", "trouble"]
    list_filter = ["status", "created_at"]
    search_fields = ["account__name", "stripe_refund_id"]
    list_select_related = ["purchase", "account"]
    ordering = ["-created_at"]
    actions_detail = ["decide"]
    amount_ = _money("amount", _("amount"))

    @action(description=_("Approve or refuse refund"), url_path="decide", permissions=["decide"])
    def decide(self, request: HttpRequest, object_id: str) -> HttpResponse:
        refund = get_object_or_404(Refund.objects.select_related("purchase", "account"), pk=object_id)
        form = Reasoned(request.POST or None)
        if request.method == "POST" and form.is_valid():
            self._decide(request, refund, form.cleaned_data["reason"])
            return redirect("admin:billing_refund_change", object_id)
        lines = [str(refund.account), refund.purchase.label, refund.wish]
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
                after = requests.approve(refund, actor=actor, reason=reason, now=now)
                words = _("Refund approved. Status: %(state)s") % {"state": after.get_status_display()}
                messages.success(request, words)
            else:
                requests.refuse(refund, actor=actor, reason=reason, now=now)
                messages.success(request, _("Refund refused. The buyer gets an e-mail with the reason."))
        except requests.RefundRefused as refusal:
            messages.error(request, str(refusal))

    def has_decide_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return request.user.has_perm("billing.change_refund")  # type: ignore[union-attr]


@admin.register(Dispute)
class DisputeAdmin(ReadOnlyAdmin):
    list_display = ["purchase", "account", "status", "amount_", "reason", "evidence_due_at", "created_at"]
    list_filter = ["status"]
    list_select_related = ["purchase", "account"]
    ordering = ["-created_at"]
    actions_detail = ["evidence_sheet"]
    amount_ = _money("amount", _("amount"))

    @action(description=_("Dispute evidence"), url_path="evidence", permissions=["view"])
    def evidence_sheet(self, request: HttpRequest, object_id: str) -> HttpResponse:
        dispute = get_object_or_404(Dispute.objects.select_related("purchase", "account"), pk=object_id)
        context = {
            **self.admin_site.each_context(request),
            "title": _("Dispute evidence"),
            "sheet": dispute_evidence.collect(dispute),
        }
        return render(request, "admin/billing/dispute_evidence.html", context)


@admin.register(Subscription)
class SubscriptionAdmin(ReadOnlyAdmin):
    list_display = ["account", "plan", "state", "interval", "period_end", "cancel_at_period_end", "next_plan"]
    list_filter = ["plan", "state", "interval", "cancel_at_period_end"]
    search_fields = ["account__name", "account__external_id", "stripe_subscription_id"]
    list_select_related = ["account"]
    ordering = ["-updated_at"]
    actions_detail = ["place"]

    @action(description=_("Assign plan without payment"), url_path="place", permissions=["place"])
    def place(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = get_object_or_404(Subscription.objects.select_related("account"), pk=object_id)
        form = Placing(request.POST or None)
        if request.method == "POST" and form.is_valid():
            actor = f"{request.user}: {form.cleaned_data['reason']}"[:200]
            plan = form.cleaned_data["plan"]
            try:
                lifecycle.assign_plan(account=row.account, plan_key=plan.key, actor=actor, now=timezone.now())
                messages.success(request, _("The account is on %(plan)s.") % {"plan": plan.name})
            except lifecycle.PlanClosed as refusal:
                messages.error(request, str(refusal))
            return redirect("admin:billing_subscription_change", object_id)
        context = {
            **self.admin_site.each_context(request),
            "title": _("Assign a plan to %(account)s") % {"account": row.account},
            "lines": [
                _("Free and legacy plans only. An account cannot return to a legacy plan that it left.")
            ],
            "form": form,
            "choices": [("place", _("Assign plan"))],
            "back": reverse("admin:billing_subscription_change", args=[object_id]),
        }
        return render(request, "admin/billing/confirm_action.html", context)

    def has_place_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return request.user.has_perm("billing.change_subscription")  # type: ignore[union-attr]


@admin.register(Promotion)
class PromotionAdmin(StaffAdmin):
    list_display = ["code", "label", "gives", "credits", "percent_off", "starts_at", "ends_at", "redeemed"]
    list_filter = ["gives", "from_catalogue"]
    search_fields = ["code", "label"]
    ordering = ["-starts_at"]
    readonly_fields = ["redeemed", "from_catalogue"]

    def save_model(self, request: HttpRequest, obj: Promotion, form: Any, change: bool) -> None:
        obj.code = obj.code.strip().upper()
        super().save_model(request, obj, form, change)

    def has_delete_permission(self, request: HttpRequest, obj: Promotion | None = None) -> bool:
        return obj is not None and obj.redeemed == 0 and super().has_delete_permission(request, obj)


@admin.register(Redemption)
class RedemptionAdmin(ReadOnlyAdmin):
    list_display = ["promotion", "account", "credits", "purchase", "created_at", "released_at"]
    list_select_related = ["promotion", "account", "purchase"]
    search_fields = ["promotion__code", "account__name"]
    ordering = ["-created_at"]


@admin.register(Referral)
class ReferralAdmin(ReadOnlyAdmin):
    list_display = ["inviter", "invited", "state", "created_at", "rewarded_at"]
    list_select_related = ["inviter", "invited"]
    list_filter = ["state"]
    ordering = ["-created_at"]


@admin.register(AutoTopUp)
class AutoTopUpAdmin(ReadOnlyAdmin):
    list_display = ["account", "enabled", "below", "pack", "last_outcome", "failures", "last_tried_at"]
    list_filter = ["enabled", "last_outcome"]
    list_select_related = ["account"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[AutoTopUp]:
        rows: QuerySet[AutoTopUp] = super().get_queryset(request)
        return rows.order_by("-last_looked_at")
