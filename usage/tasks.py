"""Celery tasks of usage.

Invariant: tasks are idempotent and may run late, concurrently or twice.
"""

from celery import shared_task

from usage.sums import folding


@shared_task
def sum_usage() -> None:
    """Add new charges to the sums of accounts with many."""
    folding.fold_due()


@shared_task
def check_sums() -> None:
    """Compare all stored sums with the charges; a difference is logged with an alert."""
    folding.check_all()
