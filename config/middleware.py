"""Middleware for every request: the request id, and the content security policy by path."""

import re
import uuid
from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from config import logs

_SANE_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}", re.ASCII)

Next = Callable[[HttpRequest], HttpResponse]


class RequestId:
    """Gives each request an id (`request.request_id`); a caller's own id is kept when it is short and valid.

    The id is in the response header `X-Request-Id`, in every log line, and in problem documents.
    """

    def __init__(self, get_response: Next) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        offered = request.headers.get("X-Request-Id", "")
        identity = offered if _SANE_ID.fullmatch(offered) else uuid.uuid4().hex
        request.request_id = identity  # type: ignore[attr-defined]
        # Not reset afterwards: Django logs errors after the last middleware, and the next request of the
        # thread sets its own id.
        logs.request_id.set(identity)
        response = self.get_response(request)
        response["X-Request-Id"] = identity
        return response


class PolicyByPath:
    """Third-party pages (the admin, the API documentation) get their own content security policy.

    `settings.CSP_BY_PATH` maps a path prefix to the directives that differ from those of the portal.
    """

    def __init__(self, get_response: Next) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        for beginning, directives in settings.CSP_BY_PATH.items():
            if request.path_info.startswith(beginning):
                response._csp_replace = directives  # type: ignore[attr-defined]
        return response
