"""Low-credit alert settings, and the e-mails that wait to be sent.

Invariant: an e-mail is queued in the transaction of the event it reports, and is sent once.
"""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from accounts.models import Account
from core.models import CreditsField


class AlertSettings(models.Model):
    """When and to whom an account's low-credit alerts are sent."""

    account = models.OneToOneField(
        Account, primary_key=True, on_delete=models.PROTECT, related_name="alert_settings"
    )
    enabled = models.BooleanField(default=True)
    below = CreditsField(default=0)
    also_below = ArrayField(
        CreditsField(), default=list, blank=True, help_text="Further thresholds, each with an e-mail."
    )
    passed = models.SmallIntegerField(
        default=0, db_default=0, help_text="How many of the further thresholds the balance is below."
    )
    by_email = models.BooleanField(default=True)
    extra_addresses = ArrayField(models.EmailField(), default=list, blank=True)
    confirmed_addresses = ArrayField(
        models.EmailField(),
        default=list,
        blank=True,
        help_text="Additional addresses whose readers have agreed to get alerts.",
    )

    def __str__(self) -> str:
        return f"alerts of {self.account_id}"


class Mail(models.Model):
    """An e-mail to be sent once."""

    account = models.ForeignKey(Account, null=True, on_delete=models.CASCADE, related_name="+")
    key = models.CharField(
        max_length=300,
        unique=True,
        help_text="Identifies the event that it reports, and a further language; one e-mail for each key.",
    )
    template = models.CharField(max_length=60)
    language = models.CharField(max_length=10, default="en", db_default="en")
    recipients = ArrayField(models.EmailField(), default=list)
    context = models.JSONField(default=dict)
    created_at = models.DateTimeField()
    claimed_until = models.DateTimeField(null=True)
    attempts = models.PositiveIntegerField(default=0)
    error = models.CharField(db_column="trouble", max_length=500, blank=True)
    sent_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [models.Index(fields=["id"], name="mail_waiting", condition=Q(sent_at=None))]

    def __str__(self) -> str:
        return f"{self.template} ({self.key})"
