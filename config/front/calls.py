"""Requests to hot endpoints: which ones the front takes, and the headers of their responses.

Invariant: a response has the headers that Django's middleware gives to the same response. A request that is
out of the ordinary (no bearer key, another content type, a host that is not ours) is left to Django.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.http import HttpResponse
from django.middleware.security import SecurityMiddleware
from django.test import RequestFactory
from django.utils import timezone

from config.middleware import request_id_of
from core.endpoint import Endpoint
from core.rate_limit import Allowance
from usage.api import balance, charges, holds, services

MOST_HOSTS = 1000
Headers = list[tuple[str, str]]
_JSON = re.compile(r"application/json(\s*;.*)?", re.IGNORECASE)
_BEARER = re.compile(r"bearer (\S+)", re.IGNORECASE)

_ENDPOINTS: Mapping[tuple[str, str], type[Endpoint]] = {
    ("POST", "charges"): charges.Charges,
    ("POST", "charges/batch"): charges.Batch,
    ("POST", "holds"): holds.Holds,
    ("POST", "estimates"): services.Estimates,
    ("GET", "balance"): balance.Balance,
}
_ENDPOINTS_OF_HOLDS = {"capture": holds.Capture, "release": holds.Release}
_HOLD = re.compile(r"holds/([0-9A-Za-z_]+)/(capture|release)", re.ASCII)
_PREFIX = "/api/v1/"


@dataclass(slots=True)
class Call:
    """A request to a hot endpoint. `secret` is its API key.

    `allowance` is set when it has been counted, `begun` when the ledger has been asked to act, `account_id`
    when a shared call has found the account.
    """

    method: str
    path: str
    query: str
    endpoint: type[Endpoint]
    parameters: dict[str, str]
    secret: str
    key: str | None
    accept_encoding: str | None
    content: bytes
    request_id: str
    is_secure: bool
    now: datetime
    allowance: Allowance | None = None
    begun: bool = False
    account_id: UUID | None = None


class Answer(NamedTuple):
    """A response; `headers` are the endpoint's own."""

    status: int
    headers: Headers
    content: bytes


class Calls:
    """Reads calls and writes the headers of their responses."""

    def __init__(self) -> None:
        self._hosts: dict[str, bool] = {}
        self._security = {secure: _security_headers(secure=secure) for secure in (False, True)}

    def read(self, scope: Any, body: bytes) -> Call | None:
        """The call of a request whose body has been read; None if it is not one."""
        found = endpoint_of(scope.method, scope.path)
        if found is None:
            return None
        items = scope.headers.items()
        headers = dict(items)
        if len(headers) != len(scope.headers.keys()) or len(headers) != len(items):
            return None  # a header that is repeated or not ASCII
        match = _BEARER.fullmatch(headers.get("authorization", ""))
        secure = _is_secure(scope.scheme, headers)
        if match is None or not self._is_allowed(headers.get("host", "")):
            return None
        if settings.SECURE_SSL_REDIRECT and not secure:
            return None
        content_type = headers.get("content-type")
        if body if content_type is None else not _JSON.fullmatch(content_type):
            return None
        endpoint, parameters = found
        return Call(
            method=scope.method,
            path=scope.path,
            query=scope.query_string,
            endpoint=endpoint,
            parameters=parameters,
            secret=match[1],
            key=headers.get("idempotency-key"),
            accept_encoding=headers.get("accept-encoding"),
            content=body,
            request_id=request_id_of(headers.get("x-request-id", "")),
            is_secure=secure,
            now=timezone.now(),
        )

    def headers(self, call: Call, own: Headers) -> Headers:
        """The headers of the response: the endpoint's own, and those of Django's middleware."""
        return [*own, ("X-Request-Id", call.request_id), *self._security[call.is_secure]]

    def _is_allowed(self, host: str) -> bool:
        known = self._hosts.get(host)
        if known is None:
            if len(self._hosts) >= MOST_HOSTS:
                self._hosts.clear()
            known = self._hosts[host] = _is_allowed_host(host)
        return known


def endpoint_of(method: str, path: str) -> tuple[type[Endpoint], dict[str, str]] | None:
    """The endpoint of a hot request and the parameters of its path; None for any other request."""
    if not path.startswith(_PREFIX):
        return None
    rest = path.removeprefix(_PREFIX)
    endpoint = _ENDPOINTS.get((method, rest))
    if endpoint is not None:
        return endpoint, {}
    match = _HOLD.fullmatch(rest) if method == "POST" else None
    return (_ENDPOINTS_OF_HOLDS[match[2]], {"hold": match[1]}) if match else None


def _is_secure(scheme: str, headers: Mapping[str, str]) -> bool:
    """Whether the client uses TLS, as Django decides it."""
    if settings.SECURE_PROXY_SSL_HEADER:
        name, secure_value = settings.SECURE_PROXY_SSL_HEADER
        value = headers.get(name.removeprefix("HTTP_").replace("_", "-").lower())
        if value is not None:
            return value.split(",", 1)[0].strip() == secure_value
    return scheme == "https"


def _is_allowed_host(host: str) -> bool:
    try:
        RequestFactory(headers={"host": host}).get("/").get_host()
    except DisallowedHost:
        return False
    return True


def _security_headers(*, secure: bool) -> Headers:
    """The headers that Django's security middleware adds to every response."""
    request, response = RequestFactory().get("/", secure=secure), HttpResponse()
    SecurityMiddleware(lambda _request: response).process_response(request, response)
    return [(name, value) for name, value in response.items() if name != "Content-Type"]
