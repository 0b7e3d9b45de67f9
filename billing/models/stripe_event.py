"""Events received from Stripe, and the comparisons of Stripe's records with ours.

Invariant: an event is stored before the webhook is answered, and is not marked done before its effect is
committed.
"""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _


class StripeEvent(models.Model):
    """An event as received from Stripe."""

    class State(models.TextChoices):
        RECEIVED = "received", _("Received")
        DONE = "done", _("Done")
        IGNORED = "ignored", _("Ignored")
        FAILED = "failed", _("Failed, will be retried")
        QUARANTINED = "quarantined", _("Needs review")

    WAITING = ("received", "failed")

    stripe_id = models.CharField(max_length=255, unique=True)
    type = models.CharField(max_length=100)
    api_version = models.CharField(max_length=40, blank=True)
    happened_at = models.DateTimeField()
    payload = models.JSONField()
    state = models.CharField(max_length=11, choices=State, default=State.RECEIVED)
    attempts = models.PositiveIntegerField(default=0)
    error = models.TextField(db_column="trouble", blank=True)
    source = models.CharField(max_length=14, default="webhook", help_text="webhook or reconciliation")
    received_at = models.DateTimeField()
    next_try_at = models.DateTimeField(null=True, blank=True)
    processed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = [
            models.Index(
                fields=["next_try_at"],
                name="event_waiting",
                condition=Q(state__in=["received", "failed"]),
            ),
            models.Index(fields=["received_at"], name="event_by_day"),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.stripe_id}"


class Reconciliation(models.Model):
    """A comparison of Stripe's records with ours; the next one begins at the newest one's `until`."""

    since = models.DateTimeField()
    until = models.DateTimeField()
    stripe_account = models.CharField(
        max_length=80, blank=True, help_text="Stripe account and mode: acct_…/live."
    )
    finished_at = models.DateTimeField(null=True)
    events = models.PositiveIntegerField(default=0, help_text="Events that the webhook had not received.")
    mended = models.PositiveIntegerField(default=0, help_text="Purchases and refunds corrected.")
    findings = models.JSONField(default=list, help_text="Differences that need review.")
    totals = models.JSONField(
        default=dict, help_text="Paid and refunded amounts by currency, Stripe's and ours."
    )

    def __str__(self) -> str:
        return f"reconciliation until {self.until:%Y-%m-%d %H:%M}"
