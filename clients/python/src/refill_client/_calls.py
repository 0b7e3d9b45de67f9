"""A request to the API as a value: what to send, how to read the answer, and whether it may be repeated.

Clients send calls; nothing here does input or output, so that both clients share every endpoint.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar
from urllib.parse import quote

from refill_client._decoding import decode, given

T = TypeVar("T")
JSON = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One request; retries send the same `body` with the same `key`."""

    method: str
    path: str
    returns: Callable[[Any], T]
    query: Mapping[str, Any] = field(default_factory=dict)
    body: JSON | None = None
    key: str | None = None
    last_event_id: str | None = None
    repeatable: bool = True
    """Whether it may be sent again when the outcome is unknown: it reads, replaces, or has a key."""
    binary: bool = False
    """Whether the answer is a file: `returns` gets its bytes."""
    fallback: JSON | None = None
    """The body for a service that does not price cached tokens separately (400 `unknown_meter`)."""

    def with_account(self, account: str | None) -> Call[T]:
        """The call for `account`, unless it names one or is not about one."""
        if account is None or self.path.startswith("/accounts"):
            return self
        if self.method in ("GET", "DELETE"):
            return replace(self, query={"account": account, **self.query})
        fallback = None if self.fallback is None else {"account": account, **self.fallback}
        return replace(self, body={"account": account, **(self.body or {})}, fallback=fallback)


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a list."""

    data: list[T]
    has_more: bool
    next_cursor: str | None


def new_key() -> str:
    """An idempotency key that no other request has."""
    return str(uuid.uuid4())


def path(*parts: str) -> str:
    """The path of an object, with its id escaped."""
    return "/" + "/".join(quote(part, safe="") for part in parts)


def reader(kind: type[T] | None) -> Callable[[Any], T]:
    def read(data: Any) -> T:
        result: T = None if kind is None else decode(kind, data)  # type: ignore[assignment]
        return result

    return read


def get(path: str, kind: type[T], /, **query: Any) -> Call[T]:
    return Call("GET", path, reader(kind), query=given(query))


def get_page(path: str, kind: type[T], /, **query: Any) -> Call[Page[T]]:
    def read(data: Any) -> Page[T]:
        return Page(decode(list[kind], data["data"]), data["has_more"], data["next_cursor"])  # type: ignore[valid-type]

    return Call("GET", path, read, query=given(query))


def next_page(call: Call[Page[T]], page: Page[T]) -> Call[Page[T]] | None:
    """The call for the page after this one, or None after the last."""
    if not page.has_more:
        return None
    return replace(call, query={**call.query, "cursor": page.next_cursor})


def post_once(path: str, kind: type[T], body: JSON, key: str | None, **options: Any) -> Call[T]:
    """A POST that moves credits or money: it has an idempotency key, a new one unless the caller gave one."""
    return Call("POST", path, reader(kind), body=given(body), key=key or new_key(), **options)


def delete(path: str, /, **query: Any) -> Call[None]:
    return Call("DELETE", path, reader(None), query=given(query), repeatable=False)


def post(path: str, kind: type[T], body: JSON, *, repeatable: bool = False) -> Call[T]:
    return Call("POST", path, reader(kind), body=given(body), repeatable=repeatable)
