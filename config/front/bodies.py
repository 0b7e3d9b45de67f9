"""Request bodies: how many bytes are read, within which time, before a thread is taken.

Invariants: a body is read whole, in the event loop, or not at all; a thread never waits for a client. A body
that is too large, or whose sender is certainly not authenticated, is not read before the response.
"""

import asyncio
import functools
import io
import re
from contextlib import suppress
from typing import Any

from django.conf import settings
from django.urls import Resolver404, resolve, reverse
from granian.rsgi import ProtocolClosed, ProtocolError  # type: ignore[attr-defined]

from accounts import key_format
from core import json_body
from core.problems import Problem

API = "/api/"
MOST_DISCARDED = 32 * 1024 * 1024  # bytes that are read from a refused client, so that it gets its response
DISCARD_SECONDS = 5.0
LARGEST_WEBHOOK = 1024 * 1024  # bytes; Stripe's events have some kilobytes
_DIGITS = re.compile(r"[0-9]{1,18}", re.ASCII)


class TooLarge(Exception):
    """The body is larger than allowed."""


class ClientGone(Exception):
    """The client closed the connection before the body was complete."""


async def read(scope: Any, protocol: Any, *, most: int) -> bytes:
    """The whole body. Raises TooLarge, ClientGone, and TimeoutError after WEB_BODY_SECONDS."""
    length = scope.headers.get("content-length")
    if length is not None and (not _DIGITS.fullmatch(length) or int(length) > most):
        raise TooLarge
    try:
        async with asyncio.timeout(settings.WEB_BODY_SECONDS):
            return bytes(await protocol()) if length is not None else await _in_chunks(protocol, most)
    except (ProtocolClosed, ProtocolError) as error:
        raise ClientGone from error


async def _in_chunks(protocol: Any, most: int) -> bytes:
    body = bytearray()
    async for chunk in protocol:
        body += chunk
        if len(body) > most:
            raise TooLarge
    return bytes(body)


async def discard(scope: Any, protocol: Any) -> None:
    """Read the rest of a refused body, up to a limit, after the response has been sent.

    Many clients send their whole body before they look for the response, and would see a closed connection.
    """
    if "expect" in scope.headers:
        return  # this client waits for permission to send
    left = MOST_DISCARDED
    with suppress(TimeoutError, ProtocolClosed, ProtocolError):
        async with asyncio.timeout(DISCARD_SECONDS):
            async for chunk in protocol:
                left -= len(chunk)
                if left < 0:
                    return


def has_body(scope: Any) -> bool:
    """Whether the request has a body."""
    headers = scope.headers
    return headers.get("content-length", "0") != "0" or "transfer-encoding" in headers


def largest(scope: Any) -> int:
    """The number of bytes that the body of the request may have."""
    path = scope.path
    if path.startswith(API):
        length = scope.headers.get("content-length") or ""
        if _DIGITS.fullmatch(length) and int(length) <= json_body.LARGEST_BODY:
            return json_body.LARGEST_BODY  # every endpoint takes it: no need to look for the endpoint
        return _largest_of_endpoint(path)
    return LARGEST_WEBHOOK if path == _webhook() else int(settings.DATA_UPLOAD_MAX_MEMORY_SIZE)


def _largest_of_endpoint(path: str) -> int:
    with suppress(Resolver404):
        endpoint = getattr(resolve(path).func, "cls", None)
        return int(getattr(endpoint, "largest_body", json_body.LARGEST_BODY))
    return json_body.LARGEST_BODY


@functools.cache
def _webhook() -> str:
    return reverse("stripe_webhook")


def is_certainly_refused(scope: Any) -> bool:
    """Whether a request to the API has neither a well-formed key nor a session, which needs no query."""
    authorization = scope.headers.get("authorization")
    if authorization is not None:
        scheme, _space, secret = authorization.partition(" ")
        return scheme.lower() != "bearer" or not key_format.is_well_formed(secret.strip())
    session = f"{settings.SESSION_COOKIE_NAME}="
    return not any(session in cookie for cookie in scope.headers.get_all("cookie"))


class Refused(io.RawIOBase):
    """A body that was not read: the endpoint that reads it answers with the problem."""

    def __init__(self, problem: Problem) -> None:
        self._problem: Problem | None = problem

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        problem, self._problem = self._problem, None
        if problem is not None:
            raise problem
        return b""
