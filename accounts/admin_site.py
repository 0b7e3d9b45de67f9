"""The admin's doors: staff sign in like everybody, through allauth with its limits, and with a second factor.

Invariant: where STAFF_MFA_REQUIRED is on, no page of the admin answers a session in which the second factor
has not been shown.
"""

from typing import Any

from allauth.account.authentication import get_authentication_records
from allauth.account.decorators import secure_admin_login
from allauth.core.internal.httpkit import add_query_params
from allauth.mfa.models import Authenticator
from allauth.mfa.utils import is_mfa_enabled
from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.utils.http import url_has_allowed_host_and_scheme
from unfold.sites import UnfoldAdminSite


class StaffSite(UnfoldAdminSite):
    """unfold's admin behind our own sign-in."""

    def has_permission(self, request: HttpRequest) -> bool:
        return super().has_permission(request) and has_shown_second_factor(request)

    @method_decorator(secure_admin_login)
    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Reached by staff only. Sends those without a second factor to set one up or to show it."""
        target = request.GET.get("next", "")
        if not url_has_allowed_host_and_scheme(target, allowed_hosts={request.get_host()}):
            target = reverse("admin:index")
        if self.has_permission(request):
            return HttpResponseRedirect(target)
        if is_mfa_enabled(request.user, [Authenticator.Type.TOTP]):
            return HttpResponseRedirect(add_query_params(reverse("mfa_reauthenticate"), {"next": target}))
        return redirect("mfa_activate_totp")

    def password_change(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The portal's page, which limits attempts and writes to the owner."""
        return redirect("account_change_password")


def has_shown_second_factor(request: HttpRequest) -> bool:
    """Whether this session has passed a second factor; always so where none is asked for."""
    if not settings.STAFF_MFA_REQUIRED:
        return True
    records = get_authentication_records(request, request.user)
    shown = any(record.get("method") == "mfa" for record in records)
    return shown and is_mfa_enabled(request.user)  # shown, and not turned off since
