"""What is answered without Django: which requests, for whom, and with which headers.

Invariants: a response has the headers that Django's middleware gives to the same response. A key that this
process has not verified lately is left to Django, so that invented keys cost other callers nothing.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.http import HttpResponse
from django.middleware.security import SecurityMiddleware
from django.test import RequestFactory
from django.utils import timezone

from accounts import api_keys
from accounts.api_keys import Principal
from config.front.turns import Turns
from config.middleware import request_id_of
from core import rate_limit
from core.caches import TimedCache
from usage.api import fast_charges

LARGEST_TURN = 64
MOST_BYTES = 16 * 1024  # a larger body is for the endpoint
SEEN_SECONDS = 60.0
MOST_SEEN = 10_000
_JSON = re.compile(r"application/json(\s*;.*)?", re.IGNORECASE)
_BEARER = re.compile(r"bearer (\S+)", re.IGNORECASE)


@dataclass(slots=True)
class Call:
    """A request on its way through a turn, which sets `allowance` when it has counted the request."""

    secret: str
    key: str
    content: bytes
    now: datetime
    allowance: rate_limit.Allowance | None = None


class FastPath:
    """Answers hot endpoints. The calls of a turn share their database calls."""

    def __init__(self) -> None:
        self._hosts: dict[str, bool] = {}
        self._seen: TimedCache[str, bool] = TimedCache(seconds=SEEN_SECONDS, max_entries=MOST_SEEN)
        self._security = _security_headers()
        self._rate = rate_limit.configured()
        self._charges: Turns[Call, bytes] = Turns(self._charge_all, most=LARGEST_TURN)

    async def answers(self, scope: Any, protocol: Any, body: bytes) -> rate_limit.Allowance | bool:
        """Whether the request has been answered. If not, and it was counted, its allowance."""
        if scope.path != fast_charges.PATH or scope.method != "POST" or scope.query_string:
            return False
        headers = scope.headers
        call = self._call(headers, body)
        if call is None:
            return False
        answer = await self._charges.result(call)
        if answer is None or call.allowance is None:
            return call.allowance or False
        protocol.response_bytes(201, self._headers(headers, call.allowance), answer)
        return True

    def _call(self, headers: Any, body: bytes) -> Call | None:
        """The call of a request; None for a request that Django has to answer."""
        match = _BEARER.fullmatch(headers.get("authorization") or "")
        if match is None or len(body) > MOST_BYTES or "transfer-encoding" in headers:
            return None
        if not _JSON.fullmatch(headers.get("content-type") or "") or settings.SECURE_SSL_REDIRECT:
            return None
        if not self._is_allowed(headers.get("host") or "") or not self._is_seen(match[1]):
            return None
        return Call(match[1], headers.get("idempotency-key") or "", body, timezone.now())

    def _is_seen(self, secret: str) -> bool:
        """Whether this process has verified the key lately."""
        if self._seen.get(secret):
            return True
        if api_keys.leased(secret, timezone.now()) is None:
            return False
        self._seen.get_or_load(secret, lambda _secret: True)
        return True

    def _charge_all(self, calls: Sequence[Call]) -> Sequence[bytes | None]:
        return self._each_admitted(
            calls,
            lambda principal, call: fast_charges.plain_charge(
                principal=principal, key=call.key, content=call.content, now=call.now
            ),
            fast_charges.charge_all,
        )

    def _each_admitted(
        self,
        calls: Sequence[Call],
        plain: Callable[[Principal, Call], Any],
        answer_all: Callable[[Sequence[Any]], Sequence[bytes | None]],
    ) -> Sequence[bytes | None]:
        """The answers; None where the caller is not admitted or the request not plain."""
        answers: list[bytes | None] = [None] * len(calls)
        taken = []
        for place, call in enumerate(calls):
            principal = self._admit(call)
            request = plain(principal, call) if principal else None
            if request is not None:
                taken.append((place, request))
        if taken:
            for (place, _request), answer in zip(taken, answer_all([one for _, one in taken]), strict=True):
                answers[place] = answer
        return answers

    def _admit(self, call: Call) -> Principal | None:
        """The caller, if the key is valid and its rate allows the request, which is counted."""
        try:
            principal = api_keys.verify(call.secret, call.now)
        except api_keys.UnknownKey:
            return None
        call.allowance = rate_limit.take(str(principal.id), call.now, self._rate)
        return principal if call.allowance.passes else None

    def _headers(self, headers: Any, allowance: rate_limit.Allowance) -> list[tuple[str, str]]:
        return [
            ("Content-Type", "application/json"),
            *allowance.headers().items(),
            ("Cache-Control", "no-store"),
            ("X-Request-Id", request_id_of(headers.get("x-request-id") or "")),
            *self._security,
        ]

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
