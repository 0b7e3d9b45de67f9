"""Celery tasks of accounts: outgoing webhooks.

Invariant: tasks are idempotent and may run late, concurrently or twice.
"""

from functools import cache
from typing import Any

from celery import shared_task, signals
from django.utils import timezone

from accounts.webhook_endpoints import deliveries
from accounts.webhook_endpoints.sender import Sender

SEND_SECONDS = 4.5  # a task follows every 5 seconds (settings.CELERY_BEAT_SCHEDULE)
DRAIN_SECONDS = 5.0  # less than the supervisor waits


@cache
def _sender() -> Sender:
    """The sender of this process."""
    return Sender()


@shared_task
def send_webhooks() -> None:
    """Send webhooks for a while. It has a queue and a process of its own (settings, Procfile)."""
    _sender().run(SEND_SECONDS)


@signals.worker_process_shutdown.connect
def record_last_answers(**_: Any) -> None:
    """Record the answers to requests under way; those that are missed are sent again."""
    if _sender.cache_info().currsize:
        _sender().drain(DRAIN_SECONDS)


@shared_task
def purge_webhooks() -> None:
    """Delete old events with their deliveries."""
    deliveries.purge(timezone.now())
