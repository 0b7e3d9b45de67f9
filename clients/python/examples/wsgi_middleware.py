"""A sample WSGI middleware: every request to `/ask` costs credits of the user who sends it.

The middleware holds credits before the application runs and puts the hold into the environment; the
application captures what was used: `environ["refill.hold"].capture(response)`. Without a
capture it costs nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from refill_client import Client, InsufficientCredits

Environ = dict[str, Any]
App = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]


class CreditsMiddleware:
    """`account_of` returns the account of a request, such as that of the signed-in user."""

    def __init__(self, app: App, client: Client, account_of: Callable[[Environ], str]) -> None:
        self.app = app
        self.client = client
        self.account_of = account_of

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"] != "/ask":
            return self.app(environ, start_response)
        try:
            with self.client.hold("claude-sonnet-4", "5", account=self.account_of(environ)) as hold:
                return list(self.app({**environ, "refill.hold": hold}, start_response))
        except InsufficientCredits as error:
            start_response("402 Payment Required", [("Content-Type", "application/json")])
            return [json.dumps({"error": error.detail, "ways_on": error.problem["ways_on"]}).encode()]
