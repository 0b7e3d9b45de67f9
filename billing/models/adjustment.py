"""Adjustments of credits by staff: requested by one person, and above a threshold approved by another."""

from datetime import datetime

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from accounts.models import Account
from core.models import CreditsField, Identified


class CreditAdjustment(Identified):
    """Credits that a member of staff gives (positive) or takes (negative). Its terms never change."""

    PREFIX = "adj"

    class Status(models.TextChoices):
        REQUESTED = "requested", _("Waits for approval")
        APPLIED = "applied", _("Applied")
        REFUSED = "refused", _("Refused")
        WITHDRAWN = "withdrawn", _("Withdrawn")

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="credit_adjustments")
    credits = CreditsField(help_text="Positive: given. Negative: taken.")
    reason = models.CharField(max_length=500)
    token = models.UUIDField(unique=True, help_text="Of the form: sent twice, it acts once.")
    needs_approval = models.BooleanField()
    status = models.CharField(max_length=10, choices=Status, default=Status.REQUESTED)
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField(help_text="A request that nobody has approved ends.")
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    decided_at = models.DateTimeField(null=True, blank=True)
    decision = models.CharField(max_length=500, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=~Q(credits=0), name="adjustment_is_not_zero"),
            models.CheckConstraint(
                condition=Q(needs_approval=False) | Q(decided_by=None) | ~Q(decided_by=F("requested_by")),
                name="adjustment_is_decided_by_another",
            ),
            models.CheckConstraint(
                condition=Q(needs_approval=False) | ~Q(status="applied") | Q(decided_by__isnull=False),
                name="adjustment_is_applied_after_approval",
            ),
        ]
        indexes = [models.Index(fields=["account", "created_at"], name="adjustment_account")]

    def __str__(self) -> str:
        return self.public_id

    def is_open(self, now: datetime) -> bool:
        """Whether it waits for an approval that can still be given."""
        return self.status == self.Status.REQUESTED and now < self.expires_at
