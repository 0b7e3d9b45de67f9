"""A sample ASGI middleware: every request to `/ask` costs credits of the user who sends it.

The middleware holds credits before the application runs and puts the hold into the scope; the application
captures what was used: `await scope["refill.hold"].capture(response)`. Without a capture it costs nothing.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from refill_client import AsyncClient, InsufficientCredits

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class CreditsMiddleware:
    """`account_of` returns the account of a request, such as that of the signed-in user."""

    def __init__(self, app: App, client: AsyncClient, account_of: Callable[[Scope], str]) -> None:
        self.app = app
        self.client = client
        self.account_of = account_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != "/ask":
            return await self.app(scope, receive, send)
        try:
            async with self.client.hold("claude-sonnet-4", "5", account=self.account_of(scope)) as hold:
                await self.app({**scope, "refill.hold": hold}, receive, send)
        except InsufficientCredits as error:
            body = json.dumps({"error": error.detail, "ways_on": error.problem["ways_on"]}).encode()
            headers = [(b"content-type", b"application/json")]
            await send({"type": "http.response.start", "status": 402, "headers": headers})
            await send({"type": "http.response.body", "body": body})
