"""Middleware for every request: request id, policy by path, caching, and the pages "try again later"."""

import math
import re
import uuid
from collections.abc import Callable

import structlog
from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.db import OperationalError
from django.http import HttpRequest, HttpResponse
from django.template import loader
from psycopg import errors

from accounts.guesses import TooManyGuesses
from billing.ledger.waiting import WalletLocked
from core import request_context

RETRY_SECONDS = 5
LIMIT_SECONDS = 300  # the longest of allauth's limits (ACCOUNT_RATE_LIMITS)

ROUTE = "refill.route"  # in the WSGI environment, for the access log: the pattern of the URL
_SANE_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}", re.ASCII)

log = structlog.get_logger(__name__)

Next = Callable[[HttpRequest], HttpResponse]


class RequestId:
    """Gives each request an id (`request.request_id`); a caller's own id is kept when it is short and valid.

    The id is in the response header `X-Request-Id`, in every log line, and in problem documents.
    """

    def __init__(self, get_response: Next) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        identity = request_id_of(request.headers.get("X-Request-Id", ""))
        request.request_id = identity  # type: ignore[attr-defined]
        # Not reset afterwards: Django logs errors after the last middleware, and the next request of the
        # thread sets its own id.
        request_context.request_id.set(identity)
        request_context.account_id.set(None)
        response = self.get_response(request)
        response["X-Request-Id"] = identity
        request.META[ROUTE] = getattr(request.resolver_match, "route", "")
        return response


def request_id_of(offered: str) -> str:
    """The caller's own id if it is short and valid, else a new one."""
    return offered if _SANE_ID.fullmatch(offered) else uuid.uuid4().hex


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


class SignedInPagesAreNotStored:
    """Keeps responses to a signed-in browser out of its cache and of every other one.

    Otherwise the next user of the same browser could go back to a page after its user has signed out. A
    response that sets `Cache-Control` itself keeps it.
    """

    def __init__(self, get_response: Next) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if not response.has_header("Cache-Control") and SESSION_KEY in request.session:
            response["Cache-Control"] = "no-store, private"
        return response


class LaterPage:
    """Answers a page request that has to be repeated later: 429 for too many codes, 503 for a long wait.

    The wait is for a lock: lock and statement timeouts, deadlocks, and a wallet for which enough threads wait
    already. In the API `core.problems` answers the same errors.
    """

    WAITED = (errors.LockNotAvailable, errors.QueryCanceled, errors.DeadlockDetected)

    def __init__(self, get_response: Next) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        if isinstance(error, TooManyGuesses):
            return too_many_attempts(request, seconds=error.seconds)
        waited = isinstance(error, OperationalError) and isinstance(error.__cause__, self.WAITED)
        if not waited and not isinstance(error, WalletLocked):
            return None
        log.warning("page_waited_for_lock", path=request.path, why=str(error).partition("\n")[0])
        again = request.get_full_path() if request.method == "GET" else ""
        response = HttpResponse(loader.render_to_string("503.html", {"again": again}), status=503)
        response["Retry-After"] = str(RETRY_SECONDS)
        response["Cache-Control"] = "no-store"
        return response


def too_many_attempts(request: HttpRequest, *, seconds: int = LIMIT_SECONDS) -> HttpResponse:
    """The page for too many attempts at signing in or at codes; allauth renders it too (`handler429`)."""
    content = loader.render_to_string("429.html", {"minutes": math.ceil(seconds / 60)}, request)
    response = HttpResponse(content, status=429)
    response["Retry-After"] = str(seconds)
    return response
