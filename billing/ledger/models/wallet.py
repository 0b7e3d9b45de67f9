"""Wallets and notices, and the foreign keys of the ledger's tables.

Invariant: every move locks the wallet's row first.
"""

from typing import Any

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.models import Account
from core.models import CreditsField


def loose_key(to: type[models.Model], **options: Any) -> Any:
    """Return a foreign key without constraint and index in the database (docs/decisions/0006)."""
    return models.ForeignKey(
        to, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+", **options
    )


class Wallet(models.Model):
    """An account's totals, and the row that every move locks first."""

    account = models.OneToOneField(
        Account, primary_key=True, on_delete=models.DO_NOTHING, db_constraint=False, related_name="wallet"
    )
    balance = CreditsField(default=0, help_text="Sum of the remaining credits of its grants.")
    held = CreditsField(default=0)
    debt = CreditsField(default=0)
    seq = models.BigIntegerField(default=0, help_text="Number of the newest entry.")
    head = models.BinaryField(max_length=32, help_text="Hash of the newest entry.")
    moved_at = models.DateTimeField(
        null=True, help_text="Time of the newest entry. A move with an earlier clock is dated at this time."
    )
    running_holds = models.IntegerField(db_default=0, help_text="Number of holds that are not closed.")
    summed_at = models.DateTimeField(null=True, help_text="Charges before it are in the sums (UseSum).")
    summed_seq = models.BigIntegerField(db_default=0, help_text="Number of the newest entry at that time.")
    next_due_at = models.DateTimeField(null=True, help_text="When the wallet must be settled next.")
    limited = models.BooleanField(default=False, help_text="Whether any limit or quota is set.")
    warn_below = CreditsField(null=True, help_text="The user's low-credit threshold.")
    is_low = models.BooleanField(
        default=False, help_text="The balance is below the threshold and the notice was stored."
    )
    created_at = models.DateTimeField()

    class Meta:
        indexes = [
            models.Index(fields=["next_due_at"], name="wallet_due"),
            # the few with many charges; `summed_at` changes once in 2,000 entries
            models.Index(fields=["account"], name="wallet_summed", condition=~Q(summed_at=None)),
        ]
        constraints = [
            models.CheckConstraint(condition=Q(balance__gte=0), name="wallet_balance_not_negative"),
            models.CheckConstraint(condition=Q(held__gte=0), name="wallet_held_not_negative"),
            models.CheckConstraint(condition=Q(debt__gte=0), name="wallet_debt_not_negative"),
        ]

    def __str__(self) -> str:
        return f"wallet of {self.account_id}"


class Notice(models.Model):
    """An outbox row for other modules, written in the transaction of the move that caused it."""

    class Kind(models.TextChoices):
        LOW = "low", _("Balance low")
        DEPLETED = "depleted", _("Balance used up")
        GRANTED = "granted", _("Credits granted")

    account = loose_key(Account)
    kind = models.CharField(max_length=12, choices=Kind)
    detail = models.JSONField(default=dict)
    created_at = models.DateTimeField()
    handled_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [models.Index(fields=["id"], name="notice_waiting", condition=Q(handled_at=None))]

    def __str__(self) -> str:
        return f"{self.kind} for {self.account_id}"
