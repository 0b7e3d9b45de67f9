"""Background work: the Celery application, and the heartbeats by which health is told.

Invariant: the worker's heartbeat is written by a task that went through the broker, so a stalled worker or a
dead broker turns `/readyz` red; beat's is written by beat itself, so the two can be told apart.
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
    """Celery's own scheduler, which also says that it is alive."""

    _said_at = float("-inf")

    def tick(self, *arguments: Any, **options: Any) -> float:
        wait: float = super().tick(*arguments, **options)
        if time.monotonic() - self._said_at >= BEAT_EVERY_SECONDS:
            from config import health

            # A database that is away for a moment must not end beat; its silence turns health red.
            if health.beat_quietly("beat"):
                self._said_at = time.monotonic()
        return min(wait, BEAT_EVERY_SECONDS)


@app.task(name="config.heartbeat", ignore_result=True)
def heartbeat() -> None:
    """Say that a worker takes tasks from the broker and reaches the database."""
    from config import health

    health.beat("worker")


@signals.worker_ready.connect
def say_ready(sender: Any, **_: Any) -> None:
    """Send one heartbeat through the broker at once, so that a fresh start need not wait for beat."""
    heartbeat.delay()


@signals.setup_logging.connect
def keep_our_logging(**_: Any) -> None:
    """Worker and beat log like the web process; connecting here stops Celery from installing its own."""
    from django.conf import settings

    logging.config.dictConfig(settings.LOGGING)
