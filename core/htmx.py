"""Redirects to the sign-in page for htmx requests.

Invariant: a request for a fragment that needs a sign-in sends the whole page to the sign-in form, which never
appears inside a panel (fault W2).
"""

from collections.abc import Callable
from urllib.parse import urlencode, urlsplit

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import resolve_url
from django_htmx.http import HttpResponseClientRedirect


class SignInOnWholePage:
    """Middleware (after HtmxMiddleware): redirects to the sign-in page become redirects of the whole page."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        htmx = getattr(request, "htmx", None)
        if not htmx or response.status_code != 302:
            return response
        sign_in = resolve_url(settings.LOGIN_URL)
        if urlsplit(response["Location"]).path != sign_in:
            return response
        # After sign-in, return to the page and not to the fragment; a URL of another site is ignored.
        page = htmx.current_url_abs_path or "/"
        return HttpResponseClientRedirect(f"{sign_in}?{urlencode({'next': page})}")
