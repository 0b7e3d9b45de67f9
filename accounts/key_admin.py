"""API keys in the admin: platform keys are created here, all kinds are limited and revoked here.

Invariant: the secret of a platform key is shown only in the response to its creation.
"""

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

from accounts import api_keys
from accounts.admin_forms import PlatformKey
from accounts.models import ApiKey
from core.staff_admin import StaffAdmin


@admin.register(ApiKey)
class ApiKeyAdmin(StaffAdmin):
    list_display = ["name", "kind", "prefix", "account", "scopes", "created_by", "last_used_at", "revoked_at"]
    list_filter = ["kind", "revoked_at"]
    search_fields = ["name", "prefix", "account__name", "account__external_id", "created_by__email"]
    list_select_related = ["account", "created_by"]
    ordering = ["-created_at"]
    fields = [
        "name",
        "kind",
        "prefix",
        "account",
        "scopes",
        "requests_per_minute",
        "created_by",
        "created_at",
        "last_used_at",
        "revoked_at",
    ]
    readonly_fields = [name for name in fields if name != "requests_per_minute"]
    actions = ["revoke"]

    def has_delete_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        return False

    @sensitive_variables("issued")
    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Create a platform key. The response shows the secret, which is not stored."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = PlatformKey(request.POST or None)
        issued = None
        if request.method == "POST" and form.is_valid():
            terms = {name: form.cleaned_data[name] for name in ("name", "scopes", "requests_per_minute")}
            with transaction.atomic():
                issued = api_keys.issue(
                    kind=ApiKey.Kind.PLATFORM,
                    created_by=request.user,  # type: ignore[arg-type]
                    now=timezone.now(),
                    **terms,
                )
                self.log_addition(request, issued.key, "Made a platform key.")
                self.record(request, issued.key, "add", after=terms)
        context = {
            **self.admin_site.each_context(request),
            "title": _("New platform key"),
            "opts": self.model._meta,
            "form": form,
            "issued": issued,
        }
        return TemplateResponse(request, "accounts/admin/platform_key.html", context)

    @admin.action(description=_("Revoke keys permanently"), permissions=["change"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        with transaction.atomic():
            for key in queryset.filter(revoked_at=None):
                self.log_change(request, key, "Revoked.")
                self.record(request, key, "revoke", before={"name": key.name, "prefix": key.prefix})
            api_keys.revoke_all(queryset, timezone.now())
        messages.success(request, _("Revoked. Nothing accepts these keys any more."))
