"""Admin classes of subscriptions and automatic top-up.

Invariant: records are shown and not edited; staff can assign a plan that needs no payment, with a reason.
"""

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

from billing import offers
from billing.models import AutoTopUp, Subscription, SurplusSubscription
from billing.purchases import top_up_settings
from billing.staff.purchases import ReasonForm
from billing.subscriptions import lifecycle
from core import staff_acts
from core.staff_admin import ReadOnlyAdmin
from pricing.models import Plan


class PlanForm(ReasonForm):
    """The plans on which this account can be put without payment, and why."""

    plan = forms.ModelChoiceField(label=_("Plan"), queryset=Plan.objects.none(), to_field_name="key")

    def __init__(self, *args: Any, subscription: Subscription, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["plan"]
        assert isinstance(field, forms.ModelChoiceField)
        keys = [plan.key for plan in lifecycle.assignable_plans(subscription)]
        field.queryset = Plan.objects.filter(key__in=keys)


@admin.register(Subscription)
class SubscriptionAdmin(ReadOnlyAdmin):
    list_display = ["account", "plan", "state", "interval", "period_end", "cancel_at_period_end", "next_plan"]
    list_filter = ["plan", "state", "interval", "cancel_at_period_end", "cancel_feedback"]
    search_fields = ["account__name", "account__external_id", "stripe_subscription_id"]
    list_select_related = ["account"]
    ordering = ["-updated_at"]
    actions_detail = ["assign_plan"]

    def refusal(self, row: Subscription, name: str) -> str:
        if name == "assign_plan" and row.paid:
            return gettext(
                "The account pays for its plan. Its subscription has to end before a plan is assigned."
            )
        return ""

    @action(description=_("Assign plan without payment"), url_path="place", permissions=["assign_plan"])
    def assign_plan(self, request: HttpRequest, object_id: str) -> HttpResponse:
        subscription = self.object_or_404(request, object_id)
        if answer := self.refused(request, subscription, "assign_plan"):
            return answer
        form = PlanForm(request.POST or None, subscription=subscription)
        if request.method == "POST" and form.is_valid():
            actor = f"{request.user}: {form.cleaned_data['reason']}"[:200]
            plan = form.cleaned_data["plan"]
            try:
                with transaction.atomic():
                    before = lifecycle.lock_subscription(subscription.account_id).plan
                    lifecycle.assign_plan(
                        account=subscription.account, plan_key=plan.key, actor=actor, now=timezone.now()
                    )
                    if before != plan.key:  # not a form that was sent twice
                        self.record(
                            request,
                            subscription,
                            "assign_plan",
                            reason=form.cleaned_data["reason"],
                            before={"plan": before},
                            after={"plan": plan.key},
                        )
                messages.success(request, _("The account is on %(plan)s.") % {"plan": plan.name})
            except offers.PlanClosed as error:
                messages.error(request, str(error))
            return redirect("admin:billing_subscription_change", object_id)
        context = {
            **self.admin_site.each_context(request),
            "title": _("Assign a plan to %(account)s") % {"account": subscription.account},
            "lines": [
                _("Free and legacy plans only. An account cannot return to a legacy plan that it left.")
            ],
            "form": form,
            "choices": [("place", _("Assign plan"))],
            "back": reverse("admin:billing_subscription_change", args=[object_id]),
        }
        return render(request, "admin/billing/confirm_action.html", context)

    def has_assign_plan_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return request.user.has_perm("billing.change_subscription")  # type: ignore[union-attr]


@admin.register(SurplusSubscription)
class SurplusSubscriptionAdmin(ReadOnlyAdmin):
    list_display = ["stripe_subscription_id", "account", "reason", "created_at", "cancelled_at", "error"]
    list_filter = ["reason", "created_at"]
    search_fields = ["account__name", "stripe_subscription_id"]
    list_select_related = ["account"]
    ordering = ["-created_at"]


@admin.register(AutoTopUp)
class AutoTopUpAdmin(ReadOnlyAdmin):
    list_display = ["account", "enabled", "below", "pack", "last_outcome", "failures", "last_tried_at"]
    list_filter = ["enabled", "last_outcome"]
    list_select_related = ["account"]
    actions_detail = ["resume"]

    @action(description=_("Resume"), url_path="resume", permissions=["resume"])
    def resume(self, request: HttpRequest, object_id: str) -> HttpResponse:
        top_up = self.object_or_404(request, object_id)
        form = ReasonForm(request.POST or None)
        back = reverse("admin:billing_autotopup_change", args=[object_id])
        if request.method == "POST" and form.is_valid():
            names = ["failures", "suspended_card", "last_outcome"]
            try:
                with transaction.atomic():
                    before = staff_acts.fields_of(top_up, names)
                    resumed = top_up_settings.resume(top_up.pk, timezone.now())
                    after = staff_acts.fields_of(resumed, names)
                    reason = form.cleaned_data["reason"]
                    self.record(request, top_up, "resume", reason=reason, before=before, after=after)
                messages.success(request, _("Automatic top-up was resumed."))
            except top_up_settings.SettingsInvalid as error:
                messages.error(request, str(error))
            return redirect(back)
        context = {
            **self.admin_site.each_context(request),
            "title": _("Resume automatic top-up of %(account)s") % {"account": top_up.account},
            "lines": [_("The saved card is charged again when the balance is below the threshold.")],
            "form": form,
            "choices": [("resume", _("Resume"))],
            "back": back,
        }
        return render(request, "admin/billing/confirm_action.html", context)

    def has_resume_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return request.user.has_perm("billing.change_autotopup")  # type: ignore[union-attr]

    def get_queryset(self, request: HttpRequest) -> QuerySet[AutoTopUp]:
        queryset: QuerySet[AutoTopUp] = super().get_queryset(request)
        return queryset.order_by("-last_looked_at")
