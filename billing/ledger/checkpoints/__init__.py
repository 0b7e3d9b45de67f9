"""Signed checkpoints of all wallets: taken by beat, verified by the audit, exported, and shown in statements.

A checkpoint is a signature over the heads (newest entry number, its hash, balance, held, debt) of all wallets
that moved since the checkpoint before, over the totals of all wallets and over the audits.
docs/decisions/0008 explains what this proves.
"""

from billing.ledger.checkpoints.content import first_hash
from billing.ledger.checkpoints.export import NotAnExport, differences, published_keys, write
from billing.ledger.checkpoints.proofs import Signed, covering
from billing.ledger.checkpoints.taking import take
from billing.ledger.checkpoints.verification import Difference, findings

__all__ = [
    "Difference",
    "NotAnExport",
    "Signed",
    "covering",
    "differences",
    "findings",
    "first_hash",
    "published_keys",
    "take",
    "write",
]
