"""What every request passes through: its id, and the content security policy of its part of the site."""

import re
import uuid
from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from config import logs

_SANE_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}", re.ASCII)

Next = Callable[[HttpRequest], HttpResponse]


class RequestId:
    """Gives each request an id (`request.request_id`); a caller's own is kept when it is short and plain.

    The id stands in the answer's `X-Request-Id`, in every log line, and in the problem document of an error.
    """

    def __init__(self, get_response: Next) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        offered = request.headers.get("X-Request-Id", "")
        identity = offered if _SANE_ID.fullmatch(offered) else uuid.uuid4().hex
        request.request_id = identity  # type: ignore[attr-defined]
        # Not taken back afterwards: Django logs refusals after the last middleware, and the thread's next
        # request sets its own.
        logs.request_id.set(identity)
        response = self.get_response(request)
        response["X-Request-Id"] = identity
        return response


class PolicyByPath:
    """Pages that others wrote (the admin, the API's documentation) get their own content security policy.

    `settings.CSP_BY_PATH` maps the beginning of a path to the directives that differ from the portal's.
    """

    def __init__(self, get_response: Next) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        for beginning, directives in settings.CSP_BY_PATH.items():
            if request.path_info.startswith(beginning):
                response._csp_replace = directives  # type: ignore[attr-defined]
        return response
