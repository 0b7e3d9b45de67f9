"""Requests to the front's application without a server: the objects that granian passes to it."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


class Headers:
    """Names are lower case; a name may have several values."""

    def __init__(self, pairs: Sequence[tuple[str, str]]) -> None:
        self._pairs = [(name.lower(), value) for name, value in pairs]

    def items(self) -> list[tuple[str, str]]:
        return self._pairs

    def get(self, name: str, default: Any = None) -> Any:
        return next((value for key, value in self._pairs if key == name), default)

    def get_all(self, name: str) -> list[str]:
        return [value for key, value in self._pairs if key == name]

    def __contains__(self, name: str) -> bool:
        return any(key == name for key, _value in self._pairs)

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

    async def __call__(self) -> bytes:
        return self.content

    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.response = Response(body, status, headers)

    def response_empty(self, status: int, headers: list[tuple[str, str]]) -> None:
        self.response = Response(b"", status, headers)

    def response_stream(self, status: int, headers: list[tuple[str, str]]) -> "Protocol":
        self.response = Response(b"", status, headers)
        return self

    async def send_bytes(self, chunk: bytes) -> None:
        self.response.body += chunk


class Front:
    """A client of an application: `front.send("POST", "/api/v1/charges", headers, content)`."""

    def __init__(self, application: Any) -> None:
        self._application = application
        self._loop = asyncio.new_event_loop()

    def send(self, method: str, path: str, headers: Mapping[str, str], content: bytes = b"") -> Response:
        return self.send_together([(method, path, headers, content)])[0]

    def send_together(self, requests: Sequence[tuple[str, str, Mapping[str, str], bytes]]) -> list[Response]:
        """Send requests that arrive in one turn of the loop; the responses in their order."""
        protocols = [Protocol(content) for *_rest, content in requests]

        async def all_of_them() -> None:
            await asyncio.gather(*map(self._one, requests, protocols))

        self._loop.run_until_complete(all_of_them())
        return [protocol.response for protocol in protocols]

    async def _one(self, request: tuple[str, str, Mapping[str, str], bytes], protocol: Protocol) -> None:
        method, target, headers, content = request
        path, _mark, query = target.partition("?")
        pairs = [("Host", "testserver"), *headers.items()]
        if content or method == "POST":
            pairs.append(("Content-Length", str(len(content))))
        await self._application.__rsgi__(Scope(method, path, Headers(pairs), query), protocol)

    def close(self) -> None:
        self._loop.close()
