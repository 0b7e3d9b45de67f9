"""The ledger's tables: wallets, grants, append-only entries, charges, holds, limits and corrections.

Invariants, kept by the SQL in `billing/ledger/sql` and proved by `manage.py audit_ledger`:
- the entries of a grant sum to its remaining amount; the grants of a wallet sum to its balance;
- a wallet's entries are numbered without gaps, and each carries a hash over itself and the one before;
- entries are never changed or removed (triggers refuse it).

Only `billing.ledger` writes these tables; other code reads them through `selectors.py`.
Foreign keys of the busy tables have no database constraint (each costs about 5 % of a charge); the audit
looks for orphans instead (docs/decisions/0006).
"""

from billing.ledger.models.archive import Archive, ArchivedWallet
from billing.ledger.models.checkpoint import Checkpoint, Head
from billing.ledger.models.entry import Audit, AuditProgress, Correction, Entry
from billing.ledger.models.grant import Allowance, Grant
from billing.ledger.models.use import Charge, Hold, Limit, UseSum
from billing.ledger.models.wallet import Notice, Wallet

__all__ = [
    "Allowance",
    "Archive",
    "ArchivedWallet",
    "Audit",
    "AuditProgress",
    "Charge",
    "Checkpoint",
    "Correction",
    "Entry",
    "Grant",
    "Head",
    "Hold",
    "Limit",
    "Notice",
    "UseSum",
    "Wallet",
]
