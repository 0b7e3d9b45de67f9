"""One HTTP request of a webhook, and its response.

Invariants: the whole exchange, the look-up of the name included, ends within the time limit, however slowly
the receiver sends; of the response's body at most LARGEST_BODY bytes are read; redirects are not followed;
proxies of the environment are not used.
"""

import http.client
import os
import re
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from accounts.webhook_endpoints import targets
from accounts.webhook_endpoints.targets import Target

LIMIT_SECONDS = 15.0
LARGEST_BODY = 16 * 1024  # bytes; more is not read
LOOK_UPS = 32  # names that are looked up at once
_resolver = ThreadPoolExecutor(LOOK_UPS, thread_name_prefix="webhook-resolver")


@dataclass(frozen=True, slots=True)
class Answer:
    """The response, or why there is none. `retry_after` in seconds, as the receiver asked."""

    status: int | None = None
    body: str = ""
    error: str = ""
    retry_after: int | None = None
    seconds: float = 0.0

    @property
    def succeeded(self) -> bool:
        return not self.error and self.status is not None and 200 <= self.status < 300


class TimedOut(Exception):
    """The time limit has passed."""


def post(
    url: str, *, body: bytes, headers: Mapping[str, str], private: bool, limit: float = LIMIT_SECONDS
) -> Answer:
    """Send a POST and return its answer; errors are part of the answer."""
    begun = time.monotonic()
    deadline = begun + limit
    status: int | None = None
    text, error, retry_after = "", "", None
    try:
        target = targets.parsed(url, private=private)
        addresses = _resolver.submit(targets.resolve, target, private=private).result(timeout=limit)
        with (
            _connected(addresses, target.port, deadline) as raw,
            _ended_at(deadline, raw),
            _exchange(target, raw, body, headers) as response,
        ):
            status, retry_after = response.status, _seconds(response.headers.get("Retry-After"))
            text = _body(response)
    except (targets.UrlRefused, targets.AddressRefused) as refused:
        error = f"not sent: {refused}"
    except (TimeoutError, TimedOut):
        error = "timed out"
    except (OSError, http.client.HTTPException, ValueError) as failure:
        error = _storable(f"{type(failure).__name__}: {failure}")  # contains what the receiver sent
    if time.monotonic() >= deadline:  # the watchdog has cut the connection, whatever that looked like
        error = "timed out"
    return Answer(status, text, error[:200], retry_after, time.monotonic() - begun)


def _exchange(
    target: Target, raw: socket.socket, body: bytes, headers: Mapping[str, str]
) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection(target.host, target.port)
    connection.sock = _secured(raw, target) if target.is_tls else raw
    try:
        connection.putrequest("POST", target.path, skip_host=True, skip_accept_encoding=True)
        for name, value in {"Host": target.host_header, "Content-Length": str(len(body)), **headers}.items():
            connection.putheader(name, value)
        connection.putheader("Connection", "close")
        connection.endheaders(body)
        return connection.getresponse()
    except BaseException:
        connection.close()
        raise


def _secured(raw: socket.socket, target: Target) -> ssl.SSLSocket:
    return ssl.create_default_context().wrap_socket(raw, server_hostname=target.host)


@contextmanager
def _connected(
    addresses: Sequence[tuple[socket.AddressFamily, str]], port: int, deadline: float
) -> Iterator[socket.socket]:
    """A connection to the first address that accepts one. Raises OSError."""
    failure: OSError = OSError("the name has no address")
    for family, address in addresses:
        raw = socket.socket(family, socket.SOCK_STREAM)
        try:
            raw.settimeout(_left(deadline))
            raw.connect((address, port))
            raw.settimeout(_left(deadline))
        except OSError as error:
            raw.close()
            failure = error
            continue
        with raw:
            yield raw
        return
    raise failure


@contextmanager
def _ended_at(deadline: float, raw: socket.socket) -> Iterator[None]:
    """Cut the connection at the deadline: a socket's own time limit begins anew with each byte."""
    copy = socket.socket(fileno=os.dup(raw.fileno()))  # TLS takes the other one over

    def cut() -> None:
        with suppress(OSError):  # it has ended already
            copy.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(max(0.0, deadline - time.monotonic()), cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        copy.close()


def _body(response: http.client.HTTPResponse) -> str:
    """The beginning of the body. `read` would read a chunk of the size -1 to the end of the connection."""
    content = b""
    with suppress(http.client.IncompleteRead, ConnectionError):  # the status decides, and it has arrived
        while len(content) < LARGEST_BODY and (part := response.read1(LARGEST_BODY - len(content))):
            content += part
    return _storable(content[:LARGEST_BODY].decode(errors="replace"))


def _storable(text: str) -> str:
    """Text that the database can store."""
    return text.replace("\0", "\ufffd")


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimedOut
    return left


def _seconds(retry_after: str | None) -> int | None:
    """The seconds of a Retry-After header; None for a date, nothing, or a number of more than nine digits."""
    return int(retry_after) if retry_after and re.fullmatch(r"[0-9]{1,9}", retry_after) else None
