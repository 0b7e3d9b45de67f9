"""What the event loop answers itself: which requests, and with which headers.

Invariant: a response has the headers that Django's middleware gives to the same response. A request is taken
here only when its key is verified and its rate is counted without a query; otherwise Django handles it, and
caches both for the next one.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.http import HttpResponse
from django.middleware.security import SecurityMiddleware
from django.test import RequestFactory

from accounts import api_keys
from accounts.api_keys import Principal
from config.middleware import request_id_of
from core import rate_limit

MOST_BYTES = 16 * 1024  # a larger body is for the endpoint
_JSON = re.compile(r"application/json(\s*;.*)?", re.IGNORECASE)
_BEARER = re.compile(r"bearer (\S+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Verified:
    """A request whose caller is known. `headers` are those of its response."""

    principal: Principal
    allowance: rate_limit.Allowance
    headers: list[tuple[str, str]]


class FastPath:
    """The checks and headers of the requests that are answered in the event loop."""

    def __init__(self) -> None:
        self._hosts: dict[str, bool] = {}
        self._security = _security_headers()
        self._rate = rate_limit.configured()

    def verified(self, headers: Any, now: datetime) -> Verified | None:
        """The request's caller and headers; None for a request that Django has to answer."""
        match = _BEARER.fullmatch(headers.get("authorization") or "")
        if match is None or not self._is_allowed(headers.get("host") or ""):
            return None
        if not _JSON.fullmatch(headers.get("content-type") or "") or settings.SECURE_SSL_REDIRECT:
            return None
        principal = api_keys.leased(match[1], now)
        if principal is None:
            return None
        allowance = rate_limit.take_reserved(str(principal.id), now, self._rate)
        if allowance is None:
            return None
        return Verified(
            principal,
            allowance,
            [
                ("Content-Type", "application/json"),
                *allowance.headers().items(),
                ("Cache-Control", "no-store"),
                ("X-Request-Id", request_id_of(headers.get("x-request-id") or "")),
                *self._security,
            ],
        )

    def _is_allowed(self, host: str) -> bool:
        known = self._hosts.get(host)
        if known is None:
            if len(self._hosts) > 1000:
                self._hosts.clear()
            known = self._hosts[host] = _is_allowed_host(host)
        return known


def _is_allowed_host(host: str) -> bool:
    try:
        RequestFactory(headers={"host": host}).get("/").get_host()
    except DisallowedHost:
        return False
    return True


def _security_headers() -> list[tuple[str, str]]:
    """The headers that Django's security middleware adds to every response."""
    request, response = RequestFactory().get("/"), HttpResponse()
    SecurityMiddleware(lambda _request: response).process_response(request, response)
    return [(name, value) for name, value in response.items() if name != "Content-Type"]
