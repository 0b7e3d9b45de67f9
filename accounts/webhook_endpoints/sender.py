"""The sender: creates deliveries of new events and makes their requests, many at the same time.

Invariants: no request is made inside a database transaction; requests run in threads that do not use the
database, and one thread claims and records. A sender that is killed leaves claims that end by themselves.
"""

import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import datetime

import structlog
from django.conf import settings
from django.db import connection
from django.utils import timezone
from standardwebhooks import Webhook

from accounts.webhook_endpoints import deliveries, exchange
from accounts.webhook_endpoints.deliveries import Claimed
from accounts.webhook_endpoints.exchange import Answer

log = structlog.get_logger(__name__)
LOOK_EVERY_SECONDS = 1.0
USER_AGENT = "Refill-Webhooks/1"


class Sender:
    """The requests of one process. They go on between two runs, so that a slow one delays no other.

    `ending` says whether the process is to end: a run then returns without new requests.
    """

    def __init__(
        self, *, clock: Callable[[], datetime] = timezone.now, ending: Callable[[], bool] = lambda: False
    ) -> None:
        self._clock = clock
        self._ending = ending
        self._threads = ThreadPoolExecutor(settings.WEBHOOK_THREADS, thread_name_prefix="webhook")
        self._running: dict[Future[Answer], Claimed] = {}

    def run(self, seconds: float) -> None:
        """Send what is due, and what becomes due, for so many seconds."""
        assert not connection.in_atomic_block, "webhooks are not sent inside a database transaction"
        end = time.monotonic() + seconds
        while not self._ending():
            while deliveries.fan_out(self._clock()):
                pass
            self._start_due()
            left = end - time.monotonic()
            if left <= 0:
                return
            self._record_finished(min(LOOK_EVERY_SECONDS, left))

    def drain(self, seconds: float) -> None:
        """Wait for the requests under way, for so many seconds at most, and release the others."""
        end = time.monotonic() + seconds
        while self._running and (left := end - time.monotonic()) > 0:
            self._record_finished(left)
        for claimed in self._running.values():
            deliveries.release(claimed, self._clock())
        self._running.clear()
        self._threads.shutdown(wait=False)

    def _start_due(self) -> None:
        while len(self._running) < settings.WEBHOOK_THREADS:
            claimed = deliveries.claim(self._clock())
            if claimed is None:
                return
            self._running[self._threads.submit(_send, claimed, self._clock())] = claimed

    def _record_finished(self, seconds: float) -> None:
        """Wait until a request ends, or so many seconds, and record those that have ended."""
        if not self._running:
            time.sleep(seconds)
            return
        done, _waiting = wait(self._running, timeout=seconds, return_when=FIRST_COMPLETED)
        for future in done:
            deliveries.finish(self._running.pop(future), future.result(), self._clock())


def _send(claimed: Claimed, now: datetime) -> Answer:
    """Make the request of a delivery, signed with each secret."""
    if not claimed.secrets:
        log.error("webhook_secret_unreadable", alert=True, endpoint=str(claimed.endpoint_id))
        return Answer(error="not sent: the secret cannot be decrypted; rotate it")
    headers = {
        "Content-Type": "application/json",
        "User-Agent": USER_AGENT,
        "webhook-id": claimed.event_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(
            Webhook(secret).sign(claimed.event_id, now, claimed.body) for secret in claimed.secrets
        ),
    }
    return exchange.post(claimed.url, body=claimed.body.encode(), headers=headers, private=claimed.private)
