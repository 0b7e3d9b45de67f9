"""Background work of the sandbox, for Celery beat: retries of deliveries, and the passing of time.

Invariant: tasks hold no state; what is due stands in rows, and doing it twice changes nothing.
"""

from celery import shared_task
from django.utils import timezone

from sandbox import scheduled_actions
from sandbox.objects import deliveries


@shared_task(name="sandbox.tasks.deliver")
def deliver() -> int:
    """Send what is due to webhook endpoints; every few seconds."""
    return deliveries.deliver_due(timezone.now())


@shared_task(name="sandbox.tasks.pass_time")
def pass_time() -> int:
    """Let happen what is due: settlements, refunds, expiries, renewals; twice a minute."""
    return scheduled_actions.happen(timezone.now())
