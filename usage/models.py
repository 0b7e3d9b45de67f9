"""The models of usage: reports of incorrect charges, and stored sums of charges.

Invariants: a charge has at most one open report; returned credits are recorded by a reversal in
the ledger, not here; sums are derived from charges and can be made again (usage.sums).
"""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.models import Account, User
from core.models import CreditsField, Identified


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


class UsageSum(models.Model):
    """What the charges of a local day took, for one value of a dimension; reversals are subtracted."""

    pk = models.CompositePrimaryKey("account", "dimension", "day", "value")
    account = models.ForeignKey(
        Account, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    dimension = models.CharField(max_length=12, help_text="Key of usage.sums.columns, or empty: all charges.")
    day = models.DateField(help_text="A day of the zone of SummedAccount.")
    value = models.CharField(max_length=200, help_text="Empty: charges without a value of the dimension.")
    credits = CreditsField()
    charges = models.IntegerField()
    last_at = models.DateTimeField(help_text="Time of the newest charge.")

    def __str__(self) -> str:
        return f"{self.dimension} {self.value} on {self.day}: {self.credits}"


class SummedAccount(models.Model):
    """How far an account is summed: its sums have all charges and reversals before `until`."""

    account = models.OneToOneField(
        Account, primary_key=True, on_delete=models.DO_NOTHING, db_constraint=False, related_name="+"
    )
    zone = models.CharField(max_length=64, help_text="The zone of the days; empty: there are no sums yet.")
    until = models.DateTimeField(help_text="Excluded.")
    seq = models.BigIntegerField(help_text="Number of the wallet's newest entry at that time.")

    def __str__(self) -> str:
        return f"{self.account_id} until {self.until:%Y-%m-%d %H:%M}"
