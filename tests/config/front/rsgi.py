"""Requests to the front's application without a server: the objects that granian passes to it."""

import asyncio
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, ClassVar

from django.conf import settings
from django.db import connections

from config.front.wsgi_bridge import Overloaded

CHUNK = 65_536


class Headers:
    """Names are lower case; a name may have several values. Values that are not ASCII cannot be read."""

    def __init__(self, pairs: Sequence[tuple[str, str]]) -> None:
        self._pairs = [(name.lower(), value) for name, value in pairs if value.isascii()]
        self._names = {name.lower() for name, _value in pairs}

    def keys(self) -> list[str]:
        return list(self._names)

    def items(self) -> list[tuple[str, str]]:
        return self._pairs

    def get(self, name: str, default: Any = None) -> Any:
        return next((value for key, value in self._pairs if key == name), default)

    def get_all(self, name: str) -> list[str]:
        return [value for key, value in self._pairs if key == name]

    def __contains__(self, name: str) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(key for key, _value in self._pairs)


@dataclass
class Scope:
    method: str
    path: str
    headers: Headers
    query_string: str = ""
    scheme: str = "http"
    server: str = "127.0.0.1:8000"
    client: str = "127.0.0.1:40000"
    http_version: str = "1.1"
    proto: str = "http"
    authority: str | None = None


@dataclass
class Response:
    """What the application sent."""

    body: bytes
    status: int = 0
    headers: list[tuple[str, str]] = field(default_factory=list)

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


class Protocol:
    """Reads the body of one request and keeps the response."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.response = Response(b"")
        self.read = 0  # bytes, before the response

    async def __call__(self) -> bytes:
        self.read = len(self.content)
        return self.content

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self.content), CHUNK):
            chunk = self.content[start : start + CHUNK]
            self.read += 0 if self.response.status else len(chunk)
            yield chunk

    def response_str(self, status: int, headers: list[tuple[str, str]], body: str) -> None:
        self.response = Response(body.encode(), status, headers)

    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.response = Response(body, status, headers)

    def response_empty(self, status: int, headers: list[tuple[str, str]]) -> None:
        self.response = Response(b"", status, headers)


class Front:
    """A client of an application: `front.send("POST", "/api/v1/charges", headers, content)`."""

    _all: ClassVar[list[Any]] = []  # a thread pool that is garbage would end with open database connections

    def __init__(self, application: Any) -> None:
        self._application = application
        self._all.append(application)
        self._loop = asyncio.new_event_loop()
        self._thread = ThreadPoolExecutor(1)  # this thread may have the event loop of a browser test

    def send(self, method: str, path: str, headers: Mapping[str, str], content: bytes = b"") -> Response:
        return self.send_together([(method, path, headers, content)])[0]

    def send_together(self, requests: Sequence[tuple[str, str, Mapping[str, str], bytes]]) -> list[Response]:
        """Send requests that arrive in one turn of the loop; the responses in their order."""
        protocols = [Protocol(content) for *_rest, content in requests]

        async def all_of_them() -> None:
            await asyncio.gather(*map(self._one, requests, protocols))

        self._run(all_of_them())
        return [protocol.response for protocol in protocols]

    def exchange(
        self, method: str, path: str, headers: Mapping[str, str], protocol: Protocol
    ) -> tuple[Response, int]:
        """Send one request. Returns the response, and how many bytes of the body were read before it."""
        request = (method, path, headers, protocol.content)
        self._run(self._one(request, protocol))
        return protocol.response, protocol.read

    async def _one(self, request: tuple[str, str, Mapping[str, str], bytes], protocol: Protocol) -> None:
        method, target, headers, content = request
        path, _mark, query = target.partition("?")
        pairs = [("Host", "testserver")] if "Host" not in headers else []
        pairs += headers.items()
        if (content or method == "POST") and "Transfer-Encoding" not in headers:
            pairs.append(("Content-Length", str(len(content))))
        await self._application.__rsgi__(Scope(method, path, Headers(pairs), query), protocol)

    async def _close_connections(self) -> None:
        bridge, together = self._application._bridge, threading.Barrier(settings.WEB_THREADS)

        def close() -> None:
            connections.close_all()
            together.wait(60)  # so that each thread does it

        work = [bridge.run(close) for _thread in range(settings.WEB_THREADS)]
        for error in await asyncio.gather(*work, return_exceptions=True):
            if error is not None and not isinstance(error, Overloaded):  # no thread had anything to do
                raise error

    def _run(self, coroutine: Coroutine[Any, Any, None]) -> None:
        self._thread.submit(self._loop.run_until_complete, coroutine).result()

    def close(self) -> None:
        """Close the connections of the application's threads, which wait for requests until the run ends."""
        self._run(self._close_connections())
        self._thread.shutdown()
        self._loop.close()
