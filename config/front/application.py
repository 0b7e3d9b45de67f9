"""The RSGI application: `granian --interface rsgi config.front.application:application`.

Invariant: the event loop waits for nothing but clients and threads. It reads bodies; plain charges share
calls of the ledger, other hot requests go to their endpoints and all the rest to Django, in a thread each.
"""

import asyncio
import gc
import random
from collections.abc import Callable
from typing import Any

from django.conf import settings

from config import tracing, wsgi  # first: it loads the apps, which the modules below need
from config.front import access_log, bodies, direct, live, refusals
from config.front.access_log import AccessLog, Exchange
from config.front.calls import Call, Calls
from config.front.shared_balances import SharedBalances
from config.front.shared_charges import SharedCharges
from config.front.turns import renew_connection
from config.front.wsgi_bridge import Bridge, Overloaded, environ_of
from config.middleware import ROUTE
from core import json_body, problems, rate_limit, request_context
from core.endpoint import Endpoint
from usage.api.balance import Balance
from usage.api.charges import Charges
from usage.refusals.storing import Storing

# Seconds between the attempts of a call for whose wallet too many threads wait: it waits without a thread.
PAUSES = (0.03, 0.06, 0.12, 0.25, 0.5, 1.0)


class Application:
    """Routes each request: hot endpoints in the event loop, everything else in a thread of Django."""

    def __init__(self) -> None:
        self._bridge = Bridge(
            wsgi.application, threads=settings.WEB_THREADS, most_waiting=settings.WEB_WAITING
        )
        self._calls = Calls()
        self._shared: dict[type[Endpoint], SharedCharges | SharedBalances] = {
            Charges: SharedCharges(),
            Balance: SharedBalances(),
        }
        self._live = live.Streams()
        self._refusals = Storing()
        self._log = AccessLog(access_log.to_standard_output) if settings.ACCESS_LOG else None

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Called by granian when the process starts to serve."""
        tracing.start("web")
        self._refusals.start()
        if self._log:
            self._log.start()
        self._live.end_on_signal(loop)
        gc.collect()
        gc.freeze()  # what is loaded now stays until the process ends: a full collection need not visit it

    def __rsgi_del__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Called by granian when the last request has been answered."""
        self._refusals.end()
        tracing.end()
        if self._log:
            self._log.end()

    async def __rsgi__(self, scope: Any, protocol: Any) -> None:
        """Answer one request."""
        exchange = Exchange(scope, protocol)
        if tracing.is_on():
            with tracing.request(scope, exchange):
                await self._serve(scope, exchange)
        else:
            await self._serve(scope, exchange)

    async def _serve(self, scope: Any, exchange: Exchange) -> None:
        try:
            await self._receive(scope, exchange)
        except Overloaded:
            refusals.send(scope, exchange, refusals.overloaded())
            await bodies.discard(scope, exchange)
        except BaseException:
            exchange.status = 500  # granian's own response, unless one was on its way
            raise
        finally:
            if self._log:
                self._log.add(exchange.line())

    async def _receive(self, scope: Any, protocol: Exchange) -> None:
        """Read the body, within its limits, and answer."""
        if not bodies.has_body(scope):
            if scope.path in live.PATHS and scope.method == "GET":
                protocol.path = scope.path
                await self._live.answer(environ_of(scope, b""), protocol, self._bridge)
            else:
                await self._answer(scope, protocol, b"")
            return
        api = scope.path.startswith(bodies.API)
        if api and (bodies.is_certainly_refused(scope) or "content-length" not in scope.headers):
            await self._without_body(scope, protocol, b"")
            return
        most = bodies.largest(scope)
        try:
            body = await bodies.read(scope, protocol, most=most)
        except bodies.TooLarge:
            if api:
                await self._without_body(scope, protocol, bodies.Refused(json_body.too_large(most)))
            else:
                refusals.send(scope, protocol, refusals.too_large())
                await bodies.discard(scope, protocol)
        except TimeoutError:
            refusals.send(scope, protocol, refusals.late())
        except bodies.ClientGone:
            return
        else:
            await self._answer(scope, protocol, body)

    async def _without_body(self, scope: Any, protocol: Exchange, body: Any) -> None:
        """Let the endpoint refuse a request whose body is not read."""
        await self._run(lambda: self._through_django(environ_of(scope, body), protocol))
        await bodies.discard(scope, protocol)

    async def _answer(self, scope: Any, protocol: Exchange, body: bytes) -> None:
        call = self._calls.read(scope, body)
        protocol.path = call.path if call else ""
        shared = self._shared.get(call.endpoint) if call else None
        if call is not None and shared is not None:
            answer = await shared.answer(call)
            if answer is not None:
                headers = self._calls.headers(call, answer.headers)
                protocol.account_id = call.account_id
                protocol.response_bytes(answer.status, headers, answer.content)
                return
        try:
            for pause in PAUSES:
                try:
                    await self._run(lambda: self._respond(call, scope, protocol, body))
                except direct.Postponed:
                    await asyncio.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311
                else:
                    return
            await self._run(lambda: self._respond(call, scope, protocol, body, is_last=True))
        except Overloaded:
            if call is None or not call.begun:
                raise
            refusals.send(scope, protocol, problems.outcome_unknown())

    async def _run(self, work: Callable[[], None]) -> None:
        await self._bridge.run(tracing.in_this_context(work) if tracing.is_on() else work)

    def _respond(
        self, call: Call | None, scope: Any, protocol: Exchange, body: bytes, *, is_last: bool = False
    ) -> None:
        """Answer the request in this thread: the endpoint of a call, or Django.

        Raises direct.Postponed for a call, unless this is its last attempt.
        """
        if call is not None:
            renew_connection()
            response = direct.answer(call, is_last=is_last)
            if response is not None:
                headers = self._calls.headers(call, list(response.items()))
                protocol.account_id = request_context.account_id.get()
                protocol.response_bytes(response.status_code, headers, response.content)
                return
        environ = environ_of(scope, body)
        if body:
            environ["CONTENT_LENGTH"] = str(len(body))  # of a body in chunks too
        if call is not None and call.allowance is not None:
            environ[rate_limit.COUNTED] = call.allowance
        self._through_django(environ, protocol)

    def _through_django(self, environ: dict[str, Any], protocol: Exchange) -> None:
        """Let Django answer in this thread."""
        try:
            self._bridge.respond(environ, protocol)
        finally:
            protocol.path = f"/{environ[ROUTE]}" if environ.get(ROUTE) else ""
            protocol.account_id = request_context.account_id.get()


application = Application()
