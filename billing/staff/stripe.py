"""Admin classes of Stripe events, reconciliations and e-mails."""

from django.contrib import admin, messages
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from unfold.decorators import action

from billing import stripe_gateway
from billing.models import Mail, Reconciliation, StripeEvent
from billing.webhooks import events, reconciliation
from core.staff_admin import ReadOnlyAdmin


@admin.register(StripeEvent)
class StripeEventAdmin(ReadOnlyAdmin):
    list_display = ["type", "stripe_id", "state", "attempts", "happened_at", "processed_at", "source"]
    list_filter = ["state", "source", "type"]
    search_fields = ["stripe_id", "type"]
    ordering = ["-happened_at"]
    actions = ["retry"]  # type: ignore[assignment]

    @admin.action(description=_("Try again"), permissions=["retry"])
    def retry(self, request: HttpRequest, queryset: QuerySet[StripeEvent]) -> None:
        chosen = list(queryset.order_by("happened_at"))
        with transaction.atomic():  # of the request: applying an event may call Stripe
            for event in chosen:
                self.record(request, event, "retry", before={"state": event.state, "error": event.error})
        states = [events.retry(event, timezone.now()).state for event in chosen]
        done = states.count(StripeEvent.State.DONE)
        words = ngettext(
            "%(done)s of %(all)s event applied.", "%(done)s of %(all)s events applied.", len(states)
        )
        message = words % {"done": done, "all": len(states)}
        self.message_user(request, message, messages.SUCCESS if done == len(states) else messages.WARNING)

    def has_retry_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("billing.change_stripeevent")  # type: ignore[union-attr]


@admin.register(Reconciliation)
class ReconciliationAdmin(ReadOnlyAdmin):
    list_display = ["until", "since", "events", "mended", "differs", "finished_at"]
    ordering = ["-until"]
    actions_list = ["compare", "run_now"]

    @admin.display(description=_("differs"), boolean=True)
    def differs(self, report: Reconciliation) -> bool:
        gaps = reconciliation.differences(report)
        return not report.findings and not any(gap["paid_gap"] or gap["refunded_gap"] for gap in gaps)

    @action(description=_("Reconciliation with Stripe"), url_path="compare", permissions=["view"])
    def compare(self, request: HttpRequest) -> HttpResponse:
        newest = Reconciliation.objects.exclude(finished_at=None).order_by("-until").first()
        context = {
            **self.admin_site.each_context(request),
            "title": _("Reconciliation with Stripe"),
            "report": newest,
            "refusal": stripe_gateway.last_refusal(),
            "rows": reconciliation.differences(newest) if newest else [],
            "waiting": StripeEvent.objects.exclude(
                state__in=[StripeEvent.State.DONE, StripeEvent.State.IGNORED]
            ).count(),
        }
        return render(request, "admin/billing/reconciliation.html", context)

    @action(description=_("Compare now"), url_path="run", permissions=["run"])
    def run_now(self, request: HttpRequest) -> HttpResponse:
        if request.method != "POST":
            context = {
                **self.admin_site.each_context(request),
                "title": _("Compare with Stripe now?"),
                "lines": [_("Events that were missed are applied.")],
                "choices": [("compare", _("Compare now"))],
                "back": reverse("admin:billing_reconciliation_compare"),
            }
            return render(request, "admin/billing/confirm_action.html", context)
        with transaction.atomic():
            self.record(request, None, "run")
        try:
            report = reconciliation.run(timezone.now())
        except stripe_gateway.StripeError as error:
            messages.error(request, _("Stripe cannot be compared: %(error)s") % {"error": error})
        else:
            message = _("Comparison finished.") if report else _("Another comparison is already running.")
            messages.info(request, message)
        return redirect("admin:billing_reconciliation_compare")

    def has_run_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("billing.change_reconciliation")  # type: ignore[union-attr]


@admin.register(Mail)
class MailAdmin(ReadOnlyAdmin):
    list_display = ["template", "recipients", "created_at", "sent_at", "attempts", "error"]
    list_filter = ["template", "sent_at"]
    ordering = ["-created_at"]
