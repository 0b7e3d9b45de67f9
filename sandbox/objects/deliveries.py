"""Deliveries: signed events sent to the webhook endpoint, retried until it responds with 2xx.

Invariant: a delivery is claimed (its due time is moved ahead and committed) before its POST, so that the
background thread and the task never send the same attempt twice; no transaction is open during the POST.
https://docs.stripe.com/webhooks
"""

import hashlib
import hmac
import json
import threading
import urllib.error
import urllib.request
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

from django.db import connections
from django.db.models import F
from django.utils import timezone

from sandbox.models import Delivery, Resource

TIMEOUT_SECONDS = 10
LEASE = timedelta(seconds=TIMEOUT_SECONDS * 2)
# Stripe waits longer between its retries, for up to three days; in development the first come soon.
BACKOFF_SECONDS = (2, 5, 15, 60, 300, 900, 3600, 4 * 3600, 12 * 3600)
_pool = ThreadPoolExecutor(max_workers=4, thread_name_prefix="sandbox-delivery")
_in_progress: set[Future[None]] = set()
_guard = threading.Lock()


def wall_clock() -> datetime:
    """The current time: test clocks do not affect deliveries."""
    return timezone.now()


def send_soon(delivery_ids: list[int], *, after: float = 0) -> None:
    """Send in a background thread, in this order. A delay above 10 seconds is left to the task."""
    if after > 10:
        return
    future = _pool.submit(_send_in_thread, delivery_ids, after)
    with _guard:
        _in_progress.add(future)
    future.add_done_callback(_forget)


def _forget(future: Future[None]) -> None:
    with _guard:
        _in_progress.discard(future)


def wait_until_idle(seconds: float = 15) -> None:
    """Wait for the background deliveries of this process (tests)."""
    deadline = timezone.now() + timedelta(seconds=seconds)
    while timezone.now() < deadline:
        with _guard:
            waiting = list(_in_progress)
        if not waiting:
            return
        for future in waiting:
            future.result(timeout=max(0.1, (deadline - timezone.now()).total_seconds()))
    raise TimeoutError("deliveries are still in progress")


def _send_in_thread(delivery_ids: list[int], after: float) -> None:
    if after > 0:
        threading.Event().wait(after)
    try:
        for delivery_id in delivery_ids:
            attempt(delivery_id, wall_clock())
    finally:
        connections.close_all()


def deliver_due(now: datetime, *, limit: int = 200) -> int:
    """Attempt every delivery that is due; return their number."""
    due = Delivery.objects.filter(state=Delivery.State.WAITING, due_at__lte=now)
    ids = list(due.order_by("due_at", "pk").values_list("pk", flat=True)[:limit])
    return sum(attempt(delivery_id, now) for delivery_id in ids)


def attempt(delivery_id: int, now: datetime) -> bool:
    """Make one attempt if the delivery is due and unclaimed; True when it was made."""
    claimed = Delivery.objects.filter(pk=delivery_id, state=Delivery.State.WAITING, due_at__lte=now).update(
        due_at=now + LEASE, attempts=F("attempts") + 1
    )
    if not claimed:
        return False
    delivery = Delivery.objects.select_related("event").get(pk=delivery_id)
    status, response = _post(delivery.url, delivery.event.body, delivery.secret)
    _record(delivery, status, response)
    return True


def _record(delivery: Delivery, status: int | None, response: str) -> None:
    delivery.last_status, delivery.last_answer = status, response[:500]
    if status is not None and 200 <= status < 300:
        delivery.state = Delivery.State.DELIVERED
    elif delivery.attempts > len(BACKOFF_SECONDS):
        delivery.state = Delivery.State.GIVEN_UP
    else:
        delivery.due_at = wall_clock() + timedelta(seconds=BACKOFF_SECONDS[delivery.attempts - 1])
    delivery.save(update_fields=["last_status", "last_answer", "state", "due_at"])


def redeliver(event_id: str, now: datetime) -> None:
    """Send an event again, whatever the state of its delivery."""
    deliveries = Delivery.objects.filter(event__stripe_id=event_id).order_by("pk")
    ids = list(deliveries.values_list("pk", flat=True)[:1])
    Delivery.objects.filter(pk__in=ids).update(state=Delivery.State.WAITING, due_at=now, attempts=0)
    send_soon(ids)


def signature(payload: bytes, secret: str, timestamp: int) -> str:
    """The Stripe-Signature header: HMAC-SHA256 of "timestamp.payload"."""
    digest = hmac.new(secret.encode(), f"{timestamp}.".encode() + payload, hashlib.sha256).hexdigest()
    return f"t={timestamp},v1={digest}"


def _post(url: str, event: dict[str, Any], secret: str) -> tuple[int | None, str]:
    payload = json.dumps(event, indent=2, ensure_ascii=False).encode()
    headers = {
        "Content-Type": "application/json; charset=utf-8",
        "User-Agent": "Refill-Sandbox/1.0",
        "Stripe-Signature": signature(payload, secret, int(wall_clock().timestamp())),
    }
    request = urllib.request.Request(url, data=payload, headers=headers, method="POST")  # noqa: S310  (SITE_URL)
    try:
        with _opener.open(request, timeout=TIMEOUT_SECONDS) as response:
            return response.status, response.read(500).decode("utf-8", "replace")
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read(500).decode("utf-8", "replace")
    except OSError as error:  # refused, timed out, unknown host
        return None, f"{type(error).__name__}: {error}"


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Stripe counts a redirect of a webhook endpoint as a failure."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirects)


def states_of(events: list[Resource]) -> dict[int, list[Delivery]]:
    """The deliveries of these events, by the event's primary key."""
    found: dict[int, list[Delivery]] = {}
    for delivery in Delivery.objects.filter(event__in=events).order_by("pk"):
        found.setdefault(delivery.event_id, []).append(delivery)
    return found
