"""Charges, holds and limits.

Invariant: price, grants drawn and balances are stored with the charge and never computed again.
"""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from accounts.models import Account, ApiKey, Project, User
from billing.ledger.models.wallet import loose_key
from core.models import CreditsField, Identified


class Attributed(Identified):
    """Fields of a use, shared by charges and holds."""

    account = loose_key(Account)
    idempotency_key = models.CharField(max_length=300)
    fingerprint = models.BinaryField(default=b"")
    credits = CreditsField()
    service = models.CharField(max_length=100)
    action = models.CharField(max_length=100, default="")
    project = loose_key(Project, null=True)
    member = loose_key(User, null=True)
    api_key = loose_key(ApiKey, null=True)
    conversation = models.CharField(max_length=200, default="")
    detail = models.JSONField(
        help_text="Lines, rate, usage, options and metadata as priced; never recomputed."
    )
    drawn = models.JSONField(help_text="Grants that paid: [{grant, kind, credits}] in order.")
    quota = models.CharField(
        max_length=100, null=True, help_text="The plan's quota that the use counts against."
    )
    quota_count = models.DecimalField(max_digits=20, decimal_places=6, null=True)
    created_at = models.DateTimeField()

    class Meta:
        abstract = True


class Charge(Attributed):
    """Credits taken for a use that happened."""

    PREFIX = "chg"

    covered_by = models.CharField(max_length=12, null=True, help_text="unlimited, own_key, or null.")
    uncollected = CreditsField(default=0, help_text="Credits that the balance lacked at a capture.")
    returned = CreditsField(default=0, help_text="Credits returned by reversals.")
    hold_id = models.UUIDField(null=True)
    balance_before = CreditsField()
    balance_after = CreditsField()

    class Meta:
        indexes = [models.Index(fields=["account", "created_at"], name="charge_by_account")]
        constraints = [
            models.UniqueConstraint(fields=["account", "idempotency_key"], name="charge_once"),
            models.CheckConstraint(condition=Q(credits__gte=0), name="charge_not_negative"),
            models.CheckConstraint(
                condition=Q(returned__gte=0, returned__lte=F("credits")), name="charge_returned_within"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.service} {self.credits}"

    @property
    def status(self) -> str:
        if self.returned == 0:
            return "charged"
        return "reversed" if self.returned == self.credits - self.uncollected else "partly_reversed"


class Hold(Attributed):
    """Credits reserved for a use whose size is not yet known: of grants, or of another hold, its parent."""

    PREFIX = "hold"
    DEEPEST = 4  # holds from the root of a tree to its deepest child

    class Status(models.TextChoices):
        HELD = "held", _("Held")
        CAPTURED = "captured", _("Captured")
        RELEASED = "released", _("Released")
        EXPIRED = "expired", _("Expired")

    class AtExpiry(models.TextChoices):
        RELEASE = "release", _("Release")
        CAPTURE_ESTIMATE = "capture_estimate", _("Capture what is held")
        CAPTURE_REPORTED = "capture_reported", _("Capture the reported usage")

    covers = ArrayField(models.TextField())
    status = models.CharField(max_length=10, choices=Status, default=Status.HELD)
    expires_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True)
    charge_id = models.UUIDField(null=True)
    parent_id = models.UUIDField(null=True, help_text="The hold from which it reserves.")
    depth = models.SmallIntegerField(db_default=1, help_text="1 without a parent.")
    reserved = models.JSONField(
        null=True, help_text="What of `drawn` it still reserves itself; null when it never had a child."
    )
    at_expiry = models.CharField(
        max_length=16,
        choices=AtExpiry,
        db_default=AtExpiry.RELEASE,
        help_text="What becomes of it when nobody captures it.",
    )
    reported = models.JSONField(
        null=True, help_text="The usage last reported for it: {credits, detail, quota_count}."
    )

    class Meta:
        indexes = [
            models.Index(fields=["account", "expires_at"], name="hold_running", condition=Q(status="held")),
            models.Index(fields=["account", "parent_id"], name="hold_children", condition=~Q(parent_id=None)),
        ]
        constraints = [
            models.UniqueConstraint(fields=["account", "idempotency_key"], name="hold_once"),
            models.CheckConstraint(condition=Q(credits__gte=0), name="hold_not_negative"),
        ]

    def __str__(self) -> str:
        return f"{self.service} {self.credits} ({self.status})"


class Limit(models.Model):
    """The most that an account, project, member, key or quota may use in a window, and what it has used."""

    class Kind(models.TextChoices):
        ACCOUNT = "account", _("Account")
        PROJECT = "project", _("Project")
        MEMBER = "member", _("Member")
        KEY = "key", _("Key")
        QUOTA = "quota", _("Quota")

    class Period(models.TextChoices):
        DAY = "day", _("Day")
        MONTH = "month", _("Month")
        EVER = "ever", _("Ever")

    account = loose_key(Account)
    kind = models.CharField(max_length=8, choices=Kind)
    subject = models.CharField(
        max_length=100, help_text="The project's, member's or key's UUID, the quota's key, or account."
    )
    period = models.CharField(max_length=5, choices=Period)
    maximum = models.DecimalField(max_digits=20, decimal_places=6, help_text="Credits; for a quota, a count.")
    used = models.DecimalField(max_digits=20, decimal_places=6, default=0)
    window_start = models.DateTimeField()
    window_end = models.DateTimeField(null=True)

    class Meta:
        # the subject before the kind: a use has its subjects, so that one index scan finds its limits
        constraints = [
            models.UniqueConstraint(fields=["account", "subject", "kind", "period"], name="limit_once")
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.subject}: {self.used} of {self.maximum}"


class UseSum(models.Model):
    """What the charges of a stretch of time took for a project, member or key, reversals subtracted.

    Each stretch of an account begins where the one before ends; the last reaches to `Wallet.summed_at`. A new
    limit adds them up instead of reading every charge of its window.
    """

    pk = models.CompositePrimaryKey("account", "subject", "until")
    account = loose_key(Account)
    subject = models.UUIDField()
    since = models.DateTimeField(help_text="Included.")
    until = models.DateTimeField(help_text="Excluded.")
    credits = CreditsField()

    def __str__(self) -> str:
        return f"{self.subject}: {self.credits} until {self.until:%Y-%m-%d %H:%M}"
