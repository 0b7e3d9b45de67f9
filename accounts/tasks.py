"""Celery tasks of accounts: outgoing webhooks.

Invariant: tasks are idempotent and may run late, concurrently or twice.
"""

import mmap
from functools import cache
from typing import Any

from celery import shared_task, signals
from django.utils import timezone

from accounts.webhook_endpoints import deliveries
from accounts.webhook_endpoints.sender import Sender

SEND_SECONDS = 4.5  # a task follows every 5 seconds (settings.CELERY_BEAT_SCHEDULE)
DRAIN_SECONDS = 2.0  # and a second until a run notices the end: less than supervisors wait
_ending = mmap.mmap(-1, 1)  # memory that a worker shares with its child process: 1 when the worker is to end


@cache
def _sender() -> Sender:
    """The sender of this process."""
    return Sender(ending=lambda: _ending[0] == 1)


@shared_task
def send_webhooks() -> None:
    """Send webhooks for a while. It has a queue and a process of its own (settings, Procfile)."""
    _sender().run(SEND_SECONDS)
    if _ending[0] == 1:
        record_last_answers()  # while the worker stops, not after it


@signals.worker_shutting_down.connect
def end_soon(**_: Any) -> None:
    """SIGTERM reaches the worker, and its child process runs the task."""
    _ending[0] = 1


@signals.worker_process_shutdown.connect
def record_last_answers(**_: Any) -> None:
    """Record the answers to requests under way; what takes longer is sent again by the next process."""
    if _sender.cache_info().currsize:
        _sender().drain(DRAIN_SECONDS)


@shared_task
def purge_webhooks() -> None:
    """Delete old events with their deliveries."""
    deliveries.purge(timezone.now())
