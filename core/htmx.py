"""Requests for fragments whose session has ended: htmx requests and the stream of live updates.

Invariants: a request for a fragment that needs a sign-in sends the whole page to the sign-in form, which
never appears inside a panel (fault W2); such a request never removes the browser's session cookie.
"""

from collections.abc import Callable
from urllib.parse import urlencode, urlsplit

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import resolve_url
from django_htmx.http import HttpResponseClientRedirect


class FragmentsKeepTheSessionCookie:
    """Middleware (before SessionMiddleware): only whole pages remove the session cookie.

    A sign-in and a change of the second factor replace the session. A live update that the browser has sent
    before with the old session may be answered afterwards; Django would remove the cookie with that answer,
    and so the new session.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        is_fragment = "HX-Request" in request.headers or request.headers.get("Accept") == "text/event-stream"
        cookie = response.cookies.get(settings.SESSION_COOKIE_NAME)
        if is_fragment and cookie is not None and not cookie.value:
            del response.cookies[settings.SESSION_COOKIE_NAME]
        return response


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
