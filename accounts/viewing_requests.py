"""The middleware of `accounts.viewing`: pages of the portal see the customer whom a member of staff views."""

from collections.abc import Callable
from typing import Any

import structlog
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts import viewing
from accounts.admin_site import has_second_factor
from accounts.models import User

log = structlog.get_logger(__name__)


class ViewAsCustomer:
    """Put after everything that acts for the person who is signed in, such as the list of their sessions."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, view: Any, args: Any, kwargs: Any) -> HttpResponse | None:
        name = request.resolver_match.url_name if request.resolver_match else ""
        if request.path_info.startswith(viewing.OWN) or name in viewing.NEUTRAL:
            return None
        seen = viewing.of(request.session)
        if seen is None:
            return None
        now, staff = timezone.now(), request.user
        allowed = isinstance(staff, User) and has_second_factor(request)
        customer = viewing.customer(seen, staff=staff, now=now) if allowed else None  # type: ignore[arg-type]
        if customer is None:
            viewing.end(request.session, now=now)
            messages.info(request, _("The view as a customer has ended."))
            return redirect("admin:index")
        request.user = customer
        request.viewing = {"until": seen.until, "account": seen.account, "staff": staff}  # type: ignore[attr-defined]
        if request.method not in {"GET", "HEAD"} or name not in viewing.SHOWN:
            return render(request, "accounts/not_shown_to_staff.html", status=403)
        log.info("viewed_as_customer", staff=str(staff.pk), account=str(seen.account), page=name)
        return None
