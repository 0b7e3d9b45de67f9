"""The Celery application, and the heartbeats that health checks read.

Invariant: a task that went through the broker writes the heartbeat of the worker, so a stalled worker or
a dead broker makes `/healthz/background` fail; beat writes its own, so that the two can be distinguished.
"""

import logging.config
import os
import time
from typing import Any

from celery import Celery, signals
from celery.beat import PersistentScheduler

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("refill")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()

BEAT_EVERY_SECONDS = 5.0


class Scheduler(PersistentScheduler):
    """Celery's own scheduler, which also writes a heartbeat."""

    _beat_at = float("-inf")

    def tick(self, *arguments: Any, **options: Any) -> float:
        wait: float = super().tick(*arguments, **options)
        if time.monotonic() - self._beat_at >= BEAT_EVERY_SECONDS:
            from config import health

            # An unreachable database must not end beat; a missing heartbeat makes the health check fail.
            if health.beat_quietly("beat"):
                self._beat_at = time.monotonic()
        return min(wait, BEAT_EVERY_SECONDS)


@app.task(name="config.heartbeat", ignore_result=True)
def heartbeat() -> None:
    """Record that a worker receives tasks from the broker and reaches the database."""
    from config import health

    health.beat("worker")


@app.task(name="config.purge", ignore_result=True)
def purge() -> None:
    """Once a day, delete records whose time has passed."""
    from django.utils import timezone

    from config import retention
    from core import daily

    now = timezone.now()
    if daily.begin("purge", now):
        retention.purge(now)


@signals.worker_ready.connect
def say_ready(sender: Any, **_: Any) -> None:
    """Send one heartbeat through the broker at start, without waiting for beat."""
    heartbeat.delay()


@signals.worker_init.connect
@signals.beat_init.connect
def limit_statements(**_: Any) -> None:
    """Give worker and beat their limits on statements and locks, and refuse an unfit server."""
    from django.conf import settings
    from django.db import connections

    from config import timeouts
    from core import database_server

    timeouts.apply(connections.settings, settings.WORKER_DATABASE_TIMEOUTS)
    database_server.refuse_unfit()


@signals.worker_process_init.connect
def trace_tasks(**_: Any) -> None:
    """Make spans of tasks in each process of the worker."""
    from config import tracing

    tracing.start("worker")


@signals.beat_init.connect
def trace_beat(**_: Any) -> None:
    """Make spans of the tasks that beat sends."""
    from config import tracing

    tracing.start("beat")


@signals.worker_process_shutdown.connect
def send_traces(**_: Any) -> None:
    """Send the last spans of a process of the worker."""
    from config import tracing

    tracing.end()


@signals.setup_logging.connect
def keep_our_logging(**_: Any) -> None:
    """Log as the web process does; connecting to this signal keeps Celery from installing its own logging."""
    from django.conf import settings

    logging.config.dictConfig(settings.LOGGING)
