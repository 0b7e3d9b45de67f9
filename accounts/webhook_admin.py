"""Webhooks in the admin: endpoints of the platform are created here; deliveries are read-only.

Invariant: a secret is shown only in the response that created it.
"""

from datetime import datetime
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_variables

from accounts.forms import WebhookForm
from accounts.models import WebhookDelivery, WebhookEndpoint, WebhookEvent
from accounts.webhook_endpoints import deliveries, endpoints, events
from core.errors import DomainError
from core.staff_admin import LongReadOnlyAdmin, StaffAdmin


@admin.register(WebhookEndpoint)
class WebhookEndpointAdmin(StaffAdmin):
    list_display = ["url", "account", "description", "created_at", "disabled_at", "disabled_reason"]
    list_filter = ["disabled_reason"]
    search_fields = ["url", "account__name", "account__external_id"]
    list_select_related = ["account"]
    ordering = ["-created_at"]
    fields = [
        "public_id",
        "account",
        "url",
        "description",
        "events",
        "created_at",
        "overlap_ends",
        "failures",
        "failing_since",
        "failed_at",
        "disabled_at",
        "disabled_reason",
    ]
    readonly_fields = fields
    actions = ["send_test", "enable", "disable", "rotate_secret"]

    @sensitive_variables("issued")
    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Create an endpoint of the platform. The response shows the secret."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = WebhookForm(request.POST or None, initial={"events": WebhookEvent.Type.values})
        issued = None
        if request.method == "POST" and form.is_valid():
            try:
                with transaction.atomic():
                    issued = endpoints.create(account=None, now=timezone.now(), **form.terms)
                    self.log_addition(request, issued.endpoint, "Made a webhook endpoint.")
                    self.record(request, issued.endpoint, "add", after=form.terms)
            except DomainError as error:
                form.add_error(error.field or None, error.detail())
        return self._secret_page(request, _("New webhook endpoint of the platform"), form, issued)

    @admin.action(description=_("Send a test event"), permissions=["change"])
    def send_test(self, request: HttpRequest, queryset: QuerySet[WebhookEndpoint]) -> None:
        for endpoint in queryset:
            try:
                with transaction.atomic():
                    deliveries.send_test(endpoint, timezone.now())
                    self.record(request, endpoint, "send_test")
            except DomainError as error:
                messages.error(request, f"{endpoint.url}: {error.detail()}")
            else:
                messages.success(request, _("Sent to %(url)s.") % {"url": endpoint.url})

    @admin.action(description=_("Enable"), permissions=["change"])
    def enable(self, request: HttpRequest, queryset: QuerySet[WebhookEndpoint]) -> None:
        self._switch(request, queryset, enabled=True)

    @admin.action(description=_("Disable"), permissions=["change"])
    def disable(self, request: HttpRequest, queryset: QuerySet[WebhookEndpoint]) -> None:
        self._switch(request, queryset, enabled=False)

    @admin.action(description=_("Rotate the secret (of one endpoint)"), permissions=["change"])
    @sensitive_variables("issued")
    def rotate_secret(self, request: HttpRequest, queryset: QuerySet[WebhookEndpoint]) -> HttpResponse | None:
        if queryset.count() != 1:
            messages.error(request, _("Select one endpoint."))
            return None
        try:
            with transaction.atomic():
                issued = endpoints.rotate_secret(queryset.get(), timezone.now())
                self.log_change(request, issued.endpoint, "Rotated the secret.")
                self.record(request, issued.endpoint, "rotate_secret")
        except DomainError as error:
            messages.error(request, error.detail())
            return None
        return self._secret_page(request, _("New signing secret"), None, issued)

    @admin.display(description=_("former secrets sign until"))
    def overlap_ends(self, endpoint: WebhookEndpoint) -> datetime | None:
        return endpoints.overlap_ends(endpoint)

    def _switch(self, request: HttpRequest, queryset: QuerySet[WebhookEndpoint], *, enabled: bool) -> None:
        for endpoint in queryset:
            with transaction.atomic():
                endpoints.change(endpoint, enabled=enabled, now=timezone.now())
                self.log_change(request, endpoint, "Enabled." if enabled else "Disabled.")
                self.record(request, endpoint, "enable" if enabled else "disable")
        messages.success(request, _("Enabled.") if enabled else _("Disabled."))

    def _secret_page(
        self, request: HttpRequest, title: Any, form: WebhookForm | None, issued: endpoints.Issued | None
    ) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": title,
            "opts": self.model._meta,
            "form": form,
            "issued": issued,
        }
        return TemplateResponse(request, "accounts/admin/webhook_endpoint.html", context)


@admin.register(WebhookDelivery)
class WebhookDeliveryAdmin(LongReadOnlyAdmin):
    list_display = ["created_at", "type", "endpoint", "status", "attempts", "response_status", "error"]
    list_filter = ["status"]
    search_fields = ["endpoint__url"]
    list_select_related = ["endpoint", "event"]
    ordering = ["-created_at", "-id"]
    fields = [
        "public_id",
        "endpoint",
        "type",
        "account",
        "status",
        "attempts",
        "attempted_at",
        "due_at",
        "body",
        "response_status",
        "response_body",
        "error",
        "duration_ms",
        "created_at",
    ]

    @admin.display(description=_("Event"))
    def type(self, delivery: WebhookDelivery) -> str:
        return delivery.event.type

    @admin.display(description=_("Account"))
    def account(self, delivery: WebhookDelivery) -> Any:
        return delivery.event.account

    @admin.display(description=_("Request"))
    def body(self, delivery: WebhookDelivery) -> str:
        return events.body_of(delivery.event)
