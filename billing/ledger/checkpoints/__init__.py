"""Signed checkpoints of all wallets: taken by beat, verified by the audit, exported, and shown in statements.

A checkpoint is a signature over the heads (newest entry number, its hash, balance, held, debt) of all wallets
that moved since the checkpoint before, over the totals of all wallets and over the audits.
docs/decisions/0008 explains what this proves.
"""

from collections.abc import Iterator

from billing.ledger.checkpoints import archives
from billing.ledger.checkpoints.content import entry_content, first_hash
from billing.ledger.checkpoints.export import NotAnExport, differences, published_keys, signed, write
from billing.ledger.checkpoints.proofs import Signed, covering
from billing.ledger.checkpoints.taking import cut_wallets, take
from billing.ledger.checkpoints.verification import Difference, newest_before, newest_hash, of_checkpoints


def findings(*, after: int = 0) -> Iterator[Difference]:
    """Differences of all checkpoints and archives, or only of the checkpoints after the number `after`."""
    yield from of_checkpoints(after=after)
    if not after:
        yield from archives.findings()


__all__ = [
    "Difference",
    "NotAnExport",
    "Signed",
    "archives",
    "covering",
    "cut_wallets",
    "differences",
    "entry_content",
    "findings",
    "first_hash",
    "newest_before",
    "newest_hash",
    "published_keys",
    "signed",
    "take",
    "write",
]
