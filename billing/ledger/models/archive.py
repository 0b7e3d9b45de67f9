"""Archives: entries of closed periods that were moved from the database to a file.

Invariant: what a wallet's archived entries add up to is stored here and signed, so that figures which follow
from entries can still be proved. Charges, holds, grants and corrections stay in the database.
"""

from django.db import models

from accounts.models import Account
from billing.ledger.models.checkpoint import Checkpoint
from billing.ledger.models.wallet import loose_key
from core.models import CreditsField


class Archive(models.Model):
    """One archive file."""

    number = models.BigIntegerField(primary_key=True)
    created_at = models.DateTimeField()
    before = models.DateTimeField(help_text="Its entries are older than this.")
    file = models.CharField(max_length=500, help_text="Path of the file when it was written.")
    file_hash = models.BinaryField(max_length=32, help_text="SHA-256 of the uncompressed content.")
    wallets = models.BigIntegerField()
    entries = models.BigIntegerField()
    root = models.BinaryField(max_length=32, help_text="Root of the Merkle tree over its wallets' records.")
    key_id = models.CharField(max_length=16)
    signature = models.BinaryField(max_length=64)

    def __str__(self) -> str:
        return f"archive {self.number}"


class ArchivedWallet(models.Model):
    """A wallet's position after its last archived entry, which is a signed head, and sums of the entries."""

    pk = models.CompositePrimaryKey("account", "archive")
    account = loose_key(Account)
    archive = loose_key(Archive)
    checkpoint = loose_key(Checkpoint)
    seq = models.BigIntegerField(help_text="Number of the last archived entry.")
    head = models.BinaryField(max_length=32, help_text="Hash of that entry.")
    balance = CreditsField()
    held = CreditsField()
    debt = CreditsField()
    last = models.JSONField(help_text="That entry, with the hash before it in `previous`.")
    state = models.JSONField(help_text="What the audit continues from: sums of all archived entries.")
    totals = models.JSONField(help_text="The audit's totals of all archived entries.")
    sums = models.JSONField(help_text="Of purchases' grants, by kind and month, in this archive.")
    records_hash = models.BinaryField(
        max_length=32,
        help_text="Hash of the digests of all records that this and earlier archives' entries introduced.",
    )

    class Meta:
        indexes = [models.Index(fields=["archive", "account"], name="archived_by_archive")]

    def __str__(self) -> str:
        return f"account {self.account_id} up to entry {self.seq}"
