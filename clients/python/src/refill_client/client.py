"""The clients: `Client` and, for asyncio, `AsyncClient`.

They share every endpoint (`_operations`) and the rules of retries (`_exchange`).
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any, Self, TypeVar, Unpack

import httpx

from refill_client import _spending
from refill_client._calls import Call, Page, next_page
from refill_client._decoding import Amount
from refill_client._events import REOPEN_SECONDS, EventReader, Stream, until_silent
from refill_client._exchange import Exchange, Retries
from refill_client._holds import AsyncHoldContext, HoldContext
from refill_client._operations import Operations
from refill_client._version import VERSION
from refill_client.models import Event

T = TypeVar("T")
TIMEOUT_SECONDS = 30.0


def _settings(url: str, key: str, timeout: float) -> dict[str, Any]:
    """Raises ValueError for a URL without scheme and for an empty key, such as that of an unset variable."""
    if not url.startswith(("https://", "http://")):
        raise ValueError(f"the URL of the portal begins with https:// or http://, unlike {url!r}")
    if not key:
        raise ValueError("the API key is empty")
    return {
        "base_url": f"{url.rstrip('/')}/api/v1/",
        "headers": {"Authorization": f"Bearer {key}", "User-Agent": f"refill-client/{VERSION}"},
        "timeout": timeout,
    }


class Client(Operations):
    """A client of the portal at `url`, such as "https://credits.example.org", with an API key.

    `account` is the account of calls that name none, for a platform key. Threads may share a client.
    """

    def __init__(
        self,
        url: str,
        key: str,
        *,
        account: str | None = None,
        retries: Retries | None = None,
        timeout: float = TIMEOUT_SECONDS,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._http = httpx.Client(**_settings(url, key, timeout), transport=transport)
        self._account = account
        self._retries = retries or Retries()

    def hold(
        self,
        service: str,
        maximum: Amount | Mapping[str, Any],
        *,
        expires_in: int | None = None,
        parent: str | None = None,
        idempotency_key: str | None = None,
        **use: Unpack[_spending.ChargeFields],
    ) -> HoldContext:
        """A hold for a `with` block: opened on entry, released on exit unless it was captured.

        `maximum`: the largest expected usage, or an amount of credits. `parent`: a hold to reserve from.
        """
        call = _spending.open_hold(
            service, maximum, expires_in=expires_in, parent=parent, idempotency_key=idempotency_key, **use
        )
        return HoldContext(self, call)

    def send(self, call: Call[T]) -> T:
        """Send a call, with its retries. Raises the errors of `refill_client.errors`."""
        exchange = Exchange(call.with_account(self._account), self._retries)
        while True:
            try:
                response = self._http.send(exchange.request(self._http))
            except httpx.TransportError as error:
                wait: float | None = exchange.failed(error)
            else:
                wait = exchange.answered(response)
            if wait is None:
                return exchange.result()
            time.sleep(wait)

    def items(self, call: Call[Page[T]]) -> Iterator[T]:
        """The items of a list, page after page."""
        following: Call[Page[T]] | None = call
        while following is not None:
            page = self.send(following)
            yield from page.data
            following = next_page(following, page)

    def stream(self, stream: Stream) -> Iterator[Event]:
        """The events of a stream, opened again when it ends or breaks. Raises the errors of `send`."""
        while True:
            exchange = Exchange(stream.call.with_account(self._account), self._retries)
            wait: float | None = 0.0
            try:
                response = self._http.send(until_silent(exchange.request(self._http)), stream=True)
                with contextlib.closing(response):
                    if response.status_code == 200:
                        reading = EventReader()
                        for line in response.iter_lines():
                            if (event := reading.read(line)) is not None:
                                stream = stream.after(event.id)
                                yield event
                    else:
                        response.read()
                        wait = exchange.answered(response)
            except httpx.TransportError as error:
                wait = exchange.failed(error)
            if wait is None:
                exchange.result()  # raises the error of the refusal
            time.sleep(REOPEN_SECONDS + (wait or 0))

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()


class AsyncClient(Operations):
    """As `Client`, for asyncio: methods are awaited, lists are asynchronous iterators."""

    def __init__(
        self,
        url: str,
        key: str,
        *,
        account: str | None = None,
        retries: Retries | None = None,
        timeout: float = TIMEOUT_SECONDS,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._http = httpx.AsyncClient(**_settings(url, key, timeout), transport=transport)
        self._account = account
        self._retries = retries or Retries()

    def hold(
        self,
        service: str,
        maximum: Amount | Mapping[str, Any],
        *,
        expires_in: int | None = None,
        parent: str | None = None,
        idempotency_key: str | None = None,
        **use: Unpack[_spending.ChargeFields],
    ) -> AsyncHoldContext:
        """A hold for an `async with` block: opened on entry, released on exit unless it was captured."""
        call = _spending.open_hold(
            service, maximum, expires_in=expires_in, parent=parent, idempotency_key=idempotency_key, **use
        )
        return AsyncHoldContext(self, call)

    async def send(self, call: Call[T]) -> T:
        """Send a call, with its retries. Raises the errors of `refill_client.errors`."""
        exchange = Exchange(call.with_account(self._account), self._retries)
        while True:
            try:
                response = await self._http.send(exchange.request(self._http))
            except httpx.TransportError as error:
                wait: float | None = exchange.failed(error)
            else:
                wait = exchange.answered(response)
            if wait is None:
                return exchange.result()
            await asyncio.sleep(wait)

    async def items(self, call: Call[Page[T]]) -> AsyncIterator[T]:
        """The items of a list, page after page."""
        following: Call[Page[T]] | None = call
        while following is not None:
            page = await self.send(following)
            for item in page.data:
                yield item
            following = next_page(following, page)

    async def stream(self, stream: Stream) -> AsyncIterator[Event]:
        """The events of a stream, opened again when it ends or breaks. Raises the errors of `send`."""
        while True:
            exchange = Exchange(stream.call.with_account(self._account), self._retries)
            wait: float | None = 0.0
            try:
                response = await self._http.send(until_silent(exchange.request(self._http)), stream=True)
                async with contextlib.aclosing(response):
                    if response.status_code == 200:
                        reading = EventReader()
                        async for line in response.aiter_lines():
                            if (event := reading.read(line)) is not None:
                                stream = stream.after(event.id)
                                yield event
                    else:
                        await response.aread()
                        wait = exchange.answered(response)
            except httpx.TransportError as error:
                wait = exchange.failed(error)
            if wait is None:
                exchange.result()  # raises the error of the refusal
            await asyncio.sleep(REOPEN_SECONDS + (wait or 0))

    async def close(self) -> None:
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.close()
