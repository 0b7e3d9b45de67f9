"""Celery tasks of the sandbox: retry event deliveries, and run actions that are due.

Invariant: tasks hold no state; they read what is due from the database, and running them twice changes
nothing.
"""

from celery import shared_task
from django.utils import timezone

from sandbox import scheduled_actions
from sandbox.objects import deliveries


@shared_task(name="sandbox.tasks.deliver")
def deliver() -> int:
    """Send the event deliveries that are due."""
    return deliveries.deliver_due(timezone.now())


@shared_task(name="sandbox.tasks.pass_time")
def pass_time() -> int:
    """Run the settlements, refunds, expiries and renewals that are due."""
    return scheduled_actions.run_due(timezone.now())
