"""Archives: moves entries of closed periods to a file, after which every figure can still be proved.

`manage.py archive_ledger` calls `run`. What proves the figures is in `billing.ledger.checkpoints.archives`;
docs/decisions/0009 explains what is kept and why.
"""

from billing.ledger.archive.removal import run
from billing.ledger.archive.sums import sums_of_purchases
from billing.ledger.archive.writing import ArchiveFailed, Plan
from billing.ledger.checkpoints.archives import Position, at, position

__all__ = ["ArchiveFailed", "Plan", "Position", "at", "position", "run", "sums_of_purchases"]
