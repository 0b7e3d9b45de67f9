"""Signed checkpoints: the state of all wallets, recorded outside the reach of who can write the database.

Invariant: checkpoints and their heads are append-only (triggers refuse changes); each checkpoint contains the
hash of the one before, and its signature needs a key that the database does not hold.
"""

from django.contrib.postgres.fields import ArrayField
from django.db import models

from accounts.models import Account
from billing.ledger.models.wallet import loose_key
from core.models import CreditsField


class Checkpoint(models.Model):
    """One signed checkpoint. Its Merkle tree covers the wallets that moved since the checkpoint before."""

    number = models.BigIntegerField(primary_key=True)
    created_at = models.DateTimeField()
    previous = models.BinaryField(max_length=32, help_text="Hash of the checkpoint before; the first: zeros.")
    root = models.BinaryField(max_length=32, help_text="Root of the Merkle tree over its heads.")
    moved = models.BigIntegerField(help_text="Number of its heads.")
    wallets = models.BigIntegerField(help_text="Wallets covered by this and all earlier checkpoints.")
    entries = models.BigIntegerField(help_text="Entries of these wallets.")
    balance = models.DecimalField(max_digits=30, decimal_places=6, help_text="Sum over these wallets.")
    held = models.DecimalField(max_digits=30, decimal_places=6)
    debt = models.DecimalField(max_digits=30, decimal_places=6)
    audits = ArrayField(models.BigIntegerField(), help_text="Audits since the checkpoint before.")
    audits_hash = models.BinaryField(max_length=32, help_text="Chain of hashes over all audits so far.")
    key_id = models.CharField(max_length=16)
    hash = models.BinaryField(max_length=32)
    signature = models.BinaryField(max_length=64)

    def __str__(self) -> str:
        return f"checkpoint {self.number}"


class Head(models.Model):
    """A wallet's position in a checkpoint: one leaf of its Merkle tree."""

    pk = models.CompositePrimaryKey("account", "checkpoint")
    account = loose_key(Account)
    checkpoint = loose_key(Checkpoint)
    seq = models.BigIntegerField(help_text="Number of the wallet's newest entry, which is also their count.")
    head = models.BinaryField(max_length=32, help_text="Hash of that entry.")
    balance = CreditsField()
    held = CreditsField()
    debt = CreditsField()

    class Meta:
        indexes = [models.Index(fields=["checkpoint", "account"], name="head_by_checkpoint")]

    def __str__(self) -> str:
        return f"account {self.account_id} at entry {self.seq}"
