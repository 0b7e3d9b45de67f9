"""The models of usage: reports of charges, sums of charges, refused calls, and exports of the history.

Invariants: a charge has at most one open report; returned credits are recorded by a reversal in
the ledger, not here; sums are derived from charges and can be made again (usage.sums); refused calls decide
nothing.
"""

from datetime import datetime
from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.models import Account, ApiKey, User
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


class SpentHour(models.Model):
    """Credits that all accounts spent in one hour, less those returned in it (usage.sums.spent)."""

    hour = models.DateTimeField(primary_key=True, help_text="Its beginning.")
    credits = CreditsField()

    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H:%M}: {self.credits}"


def _unchecked_key(model: type[models.Model], **options: Any) -> models.ForeignKey[Any, Any]:
    """A foreign key without constraint and index."""
    return models.ForeignKey(
        model, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+", **options
    )


class RefusedCalls(models.Model):
    """Requests of one group (core.refusals.Group) that were refused in one hour, and why."""

    account = _unchecked_key(Account)
    hour = models.DateTimeField(help_text="Its beginning.")
    code = models.CharField(max_length=60, help_text="The code of the problem document.")
    limit = models.CharField(
        db_column="limit_kind", max_length=8, help_text="project, member, key or account; else empty."
    )
    subject = models.CharField(max_length=100, help_text="UUID of what the limit belongs to; else empty.")
    service = models.CharField(max_length=100, help_text="Empty: no service, or several.")
    api_key = _unchecked_key(ApiKey, null=True)
    member = _unchecked_key(User, null=True)
    calls = models.BigIntegerField()
    first_at = models.DateTimeField()
    last_at = models.DateTimeField()
    figures = models.JSONField(help_text="Of the last call: needed, available, resets_at …")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["account", "hour", "code", "limit", "subject", "service", "api_key", "member"],
                nulls_distinct=False,
                name="refused_calls_once",
            )
        ]

    def __str__(self) -> str:
        return f"{self.code} of {self.account_id}: {self.calls}"


class StatementEmails(models.Model):
    """Which month's statement an account was last sent, and who does not want any."""

    account = models.OneToOneField(
        Account, primary_key=True, on_delete=models.CASCADE, related_name="statement_emails"
    )
    month = models.DateField(null=True, help_text="First day of the newest month that was handled.")
    declined = ArrayField(models.UUIDField(), default=list, help_text="Ids of the users who unsubscribed.")

    def __str__(self) -> str:
        return f"statements of {self.account_id} until {self.month}"


class PriceNotice(models.Model):
    """How far the e-mails about an announced rate card are queued: account by account, in order of ids."""

    version = models.CharField(max_length=100, primary_key=True)
    after = models.UUIDField(null=True, help_text="The last account that was handled.")
    done = models.BooleanField(default=False)

    def __str__(self) -> str:
        return self.version


class Export(Identified):
    """A file of the history that is written in the background, part by part.

    The values of the filter are fixed when it is requested; entries that arrive later are not part of it.
    """

    PREFIX = "exp"

    class State(models.TextChoices):
        WAITING = "waiting", _("Waiting")
        READY = "ready", _("Ready")
        FAILED = "failed", _("Failed")

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="exports")
    requested_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    filters = models.JSONField(help_text="Kind, grant, search, and first and last entry.")
    state = models.CharField(max_length=7, choices=State, default=State.WAITING)
    cursor = models.BigIntegerField(null=True, help_text="Number of the last entry that is written.")
    rows = models.IntegerField(default=0)
    attempts = models.SmallIntegerField(default=0, help_text="Portions that failed one after the other.")
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True, help_text="When the file is deleted.")

    class Meta:
        indexes = [
            models.Index(fields=["account", "-created_at"], name="export_by_account"),
            models.Index(fields=["created_at"], name="export_waiting", condition=Q(state="waiting")),
        ]

    def __str__(self) -> str:
        return f"{self.public_id} ({self.state})"

    def is_expired(self, now: datetime) -> bool:
        return self.expires_at is not None and self.expires_at <= now

    @property
    def percent(self) -> int:
        """How much of the entries has been looked at."""
        if self.state == self.State.READY:
            return 100
        after, until = self.filters["after"], self.filters["until"]
        if self.cursor is None or until == after:
            return 0
        return int(100 * (until - self.cursor) / (until - after))


class ExportPart(models.Model):
    """A part of an export's file: text in UTF-8, compressed with zlib."""

    export = models.ForeignKey(Export, on_delete=models.CASCADE, related_name="parts", db_index=False)
    number = models.IntegerField()
    data = models.BinaryField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["export", "number"], name="export_part_once")]

    def __str__(self) -> str:
        return f"part {self.number} of {self.export_id}"
