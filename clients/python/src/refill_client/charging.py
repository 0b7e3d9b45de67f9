"""A decorator that charges for the calls of a function whose result tells its usage."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from functools import wraps
from typing import Any, ParamSpec, TypeVar, cast

from refill_client._decoding import Amount
from refill_client.client import AsyncClient, Client
from refill_client.usage import Usage

P = ParamSpec("P")
R = TypeVar("R")
Fields = Mapping[str, Any]


def charged(
    client: Client | AsyncClient,
    service: str,
    maximum: Amount | Mapping[str, Any],
    *,
    fields: Callable[..., Fields] | None = None,
    usage: Callable[[Any], Usage] | None = None,
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Hold `maximum` before each call of the function, and capture the usage of its result after it.

    A call that raises an exception costs nothing. `fields` receives the arguments of the call and returns
    fields of the use, such as {"account": …}; `usage` returns the usage of a result that is not an SDK's
    response. A coroutine function needs an AsyncClient, any other one a Client.
    """

    def fields_of(args: Any, named: Any) -> dict[str, Any]:
        return dict(fields(*args, **named)) if fields else {}

    def usage_in(result: Any) -> Usage:
        return usage(result) if usage else result

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        if inspect.iscoroutinefunction(function) != isinstance(client, AsyncClient):
            raise TypeError("a coroutine function needs an AsyncClient, any other one a Client")

        @wraps(function)
        async def in_async_hold(*args: P.args, **named: P.kwargs) -> Any:
            async with cast(AsyncClient, client).hold(service, maximum, **fields_of(args, named)) as hold:
                result = await cast(Awaitable[Any], function(*args, **named))
                await hold.capture(usage_in(result))
                return result

        @wraps(function)
        def in_hold(*args: P.args, **named: P.kwargs) -> R:
            with cast(Client, client).hold(service, maximum, **fields_of(args, named)) as hold:
                result = function(*args, **named)
                hold.capture(usage_in(result))
                return result

        return cast(Callable[P, R], in_async_hold) if isinstance(client, AsyncClient) else in_hold

    return decorate
