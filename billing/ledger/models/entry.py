"""Entries, corrections and audits.

Invariant: entries are append-only; a correction adds entries and changes none.
"""

from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.models import Account
from billing.ledger.models.grant import Grant
from billing.ledger.models.wallet import loose_key
from core.models import CreditsField, Identified


class Entry(models.Model):
    """One append-only line of the ledger: credits into or out of one grant.

    An entry without a grant moves no credits. It introduces a record and carries its digest: a charge or a
    hold of 0 credits, a correction (kind "correct"), or the account's allowances, limits and warning
    threshold after a change (kind "terms"). Lists of credits leave these entries out.
    """

    class Kind(models.TextChoices):
        GRANT = "grant", _("Granted")
        CHARGE = "charge", _("Charged")
        REVERSE = "reverse", _("Returned")
        HOLD = "hold", _("Held")
        RELEASE = "release", _("Released")
        TRANSFER = "transfer", _("Moved between holds")
        EXPIRE = "expire", _("Expired")
        CLAW_BACK = "claw_back", _("Withdrawn")
        RESTORE = "restore", _("Restored")
        REPAY = "repay", _("Debt repaid")
        CARRY_OVER = "carry_over", _("Carried over")
        ADJUST = "adjust", _("Adjusted")

    id = models.BigAutoField(primary_key=True)
    account = loose_key(Account)
    seq = models.BigIntegerField()
    kind = models.CharField(max_length=12, choices=Kind)
    grant = loose_key(Grant, null=True)
    credits = CreditsField(help_text="Into the grant (positive) or out of it (negative).")
    debt = CreditsField(default=0, help_text="Change of the account's debt.")
    grant_after = CreditsField()
    balance_after = CreditsField()
    charge_id = models.UUIDField(null=True)
    hold_id = models.UUIDField(null=True)
    reason = models.CharField(max_length=500, default="")
    actor = models.CharField(max_length=200, default="")
    created_at = models.DateTimeField()
    digest = models.BinaryField(
        max_length=32, null=True, help_text="Hash of the record that the entry introduces or changes."
    )
    hash = models.BinaryField(max_length=32)

    class Meta:
        indexes = [
            BrinIndex(fields=["created_at"], name="entry_time"),
            # for the history of one grant: 3 us of a charge, and seconds for a rarely used grant without it
            models.Index(fields=["grant", "seq"], name="entry_grant"),
            # for the history of one kind; without charges, which are never rare and do not pay for it
            models.Index(fields=["account", "kind", "seq"], name="entry_kind", condition=~Q(kind="charge")),
        ]
        constraints = [models.UniqueConstraint(fields=["account", "seq"], name="entry_sequence")]

    def __str__(self) -> str:
        return f"{self.kind} {self.credits}"

    @property
    def public_id(self) -> str:
        """Opaque id: half of the entry's hash, so that callers cannot count entries."""
        return self.public_id_of(bytes(self.hash))

    @staticmethod
    def public_id_of(digest: bytes) -> str:
        """The public id of the entry with this hash."""
        return f"ent_{digest[:16].hex()}"


class Correction(Identified):
    """A reversal, a claw-back, its restoration, or an adjustment by staff."""

    PREFIX = "corr"

    class Kind(models.TextChoices):
        REVERSE = "reverse", _("Reversal")
        CLAW_BACK = "claw_back", _("Claw-back")
        RESTORE = "restore", _("Restoration")
        ADJUST = "adjust", _("Adjustment")

    account = loose_key(Account)
    kind = models.CharField(max_length=10, choices=Kind)
    idempotency_key = models.CharField(max_length=300)
    fingerprint = models.BinaryField(default=b"")
    credits = CreditsField(help_text="Credits moved.")
    debt = CreditsField(default=0, help_text="Debt booked, or removed by a restoration.")
    charge_id = models.UUIDField(null=True)
    purchase_id = models.UUIDField(null=True)
    undone_by_id = models.UUIDField(null=True)
    detail = models.JSONField(default=list, help_text="Per grant: [{grant, credits, debt}].")
    balance_after = CreditsField()
    reason = models.CharField(max_length=500, default="")
    actor = models.CharField(max_length=200, default="")
    created_at = models.DateTimeField()

    class Meta:
        indexes = [
            models.Index(fields=["account", "charge_id"], name="correction_by_charge"),
            models.Index(fields=["account", "created_at"], name="correction_by_time"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["account", "kind", "idempotency_key"], name="correction_once")
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.credits}"


class Audit(models.Model):
    """The result of one run of the audit."""

    started_at = models.DateTimeField()
    finished_at = models.DateTimeField()
    is_full = models.BooleanField(db_default=True, help_text="Whether it read all accounts.")
    newest_entry = models.BigIntegerField(db_default=0, help_text="Id of the newest entry when it began.")
    wallets = models.BigIntegerField()
    entries = models.BigIntegerField()
    totals = models.JSONField()
    findings = models.JSONField(default=list)
    checkpoint_hash = models.BinaryField(default=b"", help_text="Hash of the newest checkpoint that it read.")
    signature = models.BinaryField(
        default=b"", help_text="Signature of this record; empty for records of an earlier release."
    )

    def __str__(self) -> str:
        return f"audit of {self.started_at:%Y-%m-%d %H:%M}"


class AuditProgress(models.Model):
    """How far the running audit is. It is deleted with the end of the run."""

    started_at = models.DateTimeField()
    saved_at = models.DateTimeField()
    is_full = models.BooleanField()
    since_entry = models.BigIntegerField(help_text="Only accounts with newer entries, unless it is full.")
    newest_entry = models.BigIntegerField(help_text="Id of the newest entry when it began.")
    after = models.UUIDField(null=True, help_text="Accounts up to this one are done.")
    totals = models.JSONField(default=dict)
    findings = models.JSONField(default=list)
    signature = models.BinaryField(default=b"")

    def __str__(self) -> str:
        return f"audit since {self.started_at:%Y-%m-%d %H:%M}"
