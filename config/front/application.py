"""The RSGI application: `granian --interface rsgi config.front.application:application`.

Invariant: the event loop never waits for the database or for a template; it reads bodies, answers what
`fast_path` can answer without either, and gives every other request to Django in a thread.
"""

import asyncio
from typing import Any

from django.conf import settings

from config import wsgi  # first: it loads the apps, which the modules below need
from config.front import bodies, live, refusals
from config.front.fast_path import FastPath
from config.front.wsgi_bridge import Bridge, environ_of
from core import json_body, rate_limit


class Application:
    """Routes each request: hot endpoints in the event loop, everything else in a thread of Django."""

    def __init__(self) -> None:
        self._bridge = Bridge(wsgi.application, threads=settings.WEB_THREADS)
        self._fast = FastPath()
        self._live = live.Streams()

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Called by granian when the process starts to serve."""
        self._live.end_on_signal(loop)

    def __rsgi_del__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Called by granian when the last request has been answered."""

    async def __rsgi__(self, scope: Any, protocol: Any) -> None:
        """Answer one request."""
        if not bodies.has_body(scope):
            if scope.path == live.PATH:
                await self._live.answer(environ_of(scope, b""), protocol, self._bridge)
            else:
                await self._bridge.answer(environ_of(scope, b""), protocol)
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
                refusals.send(scope, protocol, 413)
                await bodies.discard(scope, protocol)
        except TimeoutError:
            refusals.send(scope, protocol, 408)
        except bodies.ClientGone:
            return
        else:
            await self._answer(scope, protocol, body)

    async def _without_body(self, scope: Any, protocol: Any, body: Any) -> None:
        """Let the endpoint refuse a request whose body is not read."""
        await self._bridge.answer(environ_of(scope, body), protocol)
        await bodies.discard(scope, protocol)

    async def _answer(self, scope: Any, protocol: Any, body: bytes) -> None:
        answered = await self._fast.answers(scope, protocol, body)
        if answered is True:
            return
        environ = environ_of(scope, body)
        environ["CONTENT_LENGTH"] = str(len(body))  # of a body in chunks too
        if answered:
            environ[rate_limit.COUNTED] = answered
        await self._bridge.answer(environ, protocol)


application = Application()
