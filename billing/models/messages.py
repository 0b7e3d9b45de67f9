"""What Stripe told us, and what we still have to tell people: both kept until they are done.

Invariants: an event is stored before it is answered and is never marked done before its effect is committed;
a mail is queued in the transaction of what it tells about and leaves once.
"""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.models import Account


class StripeEvent(models.Model):
    """One event as Stripe sent it."""

    class State(models.TextChoices):
        RECEIVED = "received", _("Received")
        DONE = "done", _("Done")
        IGNORED = "ignored", _("Not for us")
        FAILED = "failed", _("Failed, will be tried again")
        QUARANTINED = "quarantined", _("Needs a person")

    WAITING = ("received", "failed")

    stripe_id = models.CharField(max_length=255, unique=True)
    type = models.CharField(max_length=100)
    api_version = models.CharField(max_length=40, blank=True)
    happened_at = models.DateTimeField()
    payload = models.JSONField()
    state = models.CharField(max_length=11, choices=State, default=State.RECEIVED)
    attempts = models.PositiveIntegerField(default=0)
    trouble = models.TextField(blank=True)
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
    """One comparison of Stripe's books with ours; `until` of the newest is the bookmark of the next."""

    since = models.DateTimeField()
    until = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)
    events = models.PositiveIntegerField(default=0, help_text="Events that had not reached us.")
    mended = models.PositiveIntegerField(default=0, help_text="Purchases and refunds put right.")
    findings = models.JSONField(default=list, help_text="Differences that need a person.")
    totals = models.JSONField(default=dict, help_text="By currency: Stripe's and ours, paid and refunded.")

    def __str__(self) -> str:
        return f"reconciliation until {self.until:%Y-%m-%d %H:%M}"


class Mail(models.Model):
    """An e-mail that must be sent once."""

    account = models.ForeignKey(Account, null=True, on_delete=models.CASCADE, related_name="+")
    key = models.CharField(max_length=300, unique=True, help_text="What it tells about; told once.")
    template = models.CharField(max_length=60)
    recipients = ArrayField(models.EmailField(), default=list)
    context = models.JSONField(default=dict)
    created_at = models.DateTimeField()
    claimed_until = models.DateTimeField(null=True)
    attempts = models.PositiveIntegerField(default=0)
    trouble = models.CharField(max_length=500, blank=True)
    sent_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [models.Index(fields=["id"], name="mail_waiting", condition=Q(sent_at=None))]

    def __str__(self) -> str:
        return f"{self.template} ({self.key})"
