"""The model of usage: reports of incorrect charges.

Invariant: a charge has at most one open report; returned credits are recorded by a reversal in
the ledger, not here.
"""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.models import Account, User
from core.models import Identified


class ChargeReport(Identified):
    """A user's report that a charge is incorrect, and the answer of staff, who may return the credits."""

    PREFIX = "report"

    class Status(models.TextChoices):
        OPEN = "open", _("Open")
        ANSWERED = "answered", _("Answered")
        RETURNED = "returned", _("Credits returned")

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="charge_reports")
    charge_id = models.UUIDField()
    reporter = models.ForeignKey(User, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    reason = models.TextField(max_length=2000)
    status = models.CharField(max_length=8, choices=Status, default=Status.OPEN)
    answer = models.TextField(max_length=2000, blank=True)
    answered_by = models.ForeignKey(User, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField()
    answered_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = [models.Index(fields=["account", "charge_id"], name="report_by_charge")]
        constraints = [
            models.UniqueConstraint(
                fields=["charge_id"], condition=Q(status="open"), name="one_open_report_a_charge"
            )
        ]

    def __str__(self) -> str:
        return f"{self.public_id} ({self.status})"

    @property
    def is_open(self) -> bool:
        return self.status == self.Status.OPEN
