"""Celery tasks of usage.

Invariant: tasks are idempotent and may run late, concurrently or twice.
"""

from celery import shared_task
from django.utils import timezone

from core import daily
from usage import monthly_emails
from usage.forecast import price_notices
from usage.history import exports
from usage.sums import folding, spent


@shared_task
def sum_usage() -> None:
    """Add new charges to the sums of accounts with many."""
    folding.fold_due()


@shared_task
def check_sums() -> None:
    """Once a day, compare all stored sums with the charges; a difference is logged with an alert."""
    if daily.begin("usage sums", timezone.now()):
        folding.check_all()


@shared_task
def sum_spent() -> None:
    """Sum the credits that were spent in the hours that have ended."""
    spent.store(timezone.now())


@shared_task
def write_exports() -> None:
    """Write the exports that wait, and delete the files that have expired."""
    now = timezone.now()
    exports.write_waiting(now)
    exports.delete_expired(now)


@shared_task
def queue_usage_emails() -> None:
    """Queue e-mails with the statement of the month that has ended, and about announced prices."""
    monthly_emails.queue_due(timezone.now())
    price_notices.queue_due(timezone.now())
