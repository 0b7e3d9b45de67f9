"""The RSGI application: `granian --interface rsgi config.front.application:application`."""

import asyncio
from typing import Any

from django.conf import settings
from django.utils import timezone

from config.front.fast_path import MOST_BYTES, FastPath
from config.front.turns import Turns
from config.front.wsgi_bridge import Bridge, environ_of
from config.wsgi import application as django_application
from core import rate_limit
from usage.api import fast_charges

LARGEST_TURN = 64


class Application:
    """Routes each request: hot endpoints in the event loop, everything else in a thread of Django."""

    def __init__(self) -> None:
        self._bridge = Bridge(django_application, threads=settings.WEB_THREADS)
        self._fast = FastPath()
        self._charges = Turns(fast_charges.charge_all, most=LARGEST_TURN)

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Called by granian when the process starts to serve."""

    async def __rsgi__(self, scope: Any, protocol: Any) -> None:
        """Answer one request."""
        body = await protocol()
        allowance = None
        if scope.path == fast_charges.PATH and scope.method == "POST" and not scope.query_string:
            allowance = await self._charge(scope, protocol, body)
            if allowance is None:
                return
        environ = environ_of(scope, body)
        if isinstance(allowance, rate_limit.Allowance):
            environ[rate_limit.COUNTED] = allowance
        await self._bridge.answer(environ, protocol)

    async def _charge(self, scope: Any, protocol: Any, body: bytes) -> rate_limit.Allowance | bool | None:
        """None when the charge is answered. Otherwise the rate's allowance, if the request was counted."""
        now = timezone.now()
        headers = scope.headers
        if len(body) > MOST_BYTES or "transfer-encoding" in headers:
            return False
        verified = self._fast.verified(headers, now)
        if verified is None:
            return False
        charge = fast_charges.plain_charge(
            principal=verified.principal, key=headers.get("idempotency-key") or "", content=body, now=now
        )
        answer = await self._charges.result(charge) if charge else None
        if answer is None:
            return verified.allowance
        protocol.response_bytes(201, verified.headers, answer)
        return None


application = Application()
