"""The admin site: staff sign in through allauth, with its rate limits, and with a second factor.

Invariant: with STAFF_MFA_REQUIRED, admin pages are refused to a session without a second factor.
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
    """The admin site of unfold with the sign-in of the portal."""

    def has_permission(self, request: HttpRequest) -> bool:
        return super().has_permission(request) and has_second_factor(request)

    @method_decorator(secure_admin_login)
    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """For staff only. Redirects those without a second factor to set one up or to enter its code."""
        target = request.GET.get("next", "")
        if not url_has_allowed_host_and_scheme(target, allowed_hosts={request.get_host()}):
            target = reverse("admin:index")
        if self.has_permission(request):
            return HttpResponseRedirect(target)
        factors = {Authenticator.Type.TOTP: "mfa_reauthenticate"}
        factors[Authenticator.Type.WEBAUTHN] = "mfa_reauthenticate_webauthn"
        for factor, page in factors.items():
            if is_mfa_enabled(request.user, [factor]):
                return HttpResponseRedirect(add_query_params(reverse(page), {"next": target}))
        return redirect("mfa_activate_totp")

    def password_change(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Redirect to the portal's page, which limits attempts and notifies the user."""
        return redirect("account_change_password")


def has_second_factor(request: HttpRequest) -> bool:
    """Whether this session was authenticated with a second factor; always True where none is required."""
    if not settings.STAFF_MFA_REQUIRED:
        return True
    records = get_authentication_records(request, request.user)
    shown = any(record.get("method") == "mfa" for record in records)
    return shown and is_mfa_enabled(request.user)  # entered in this session, and not turned off since
