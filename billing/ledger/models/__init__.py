"""The ledger's tables: wallets, grants, the append-only entries, and what was charged, held and corrected.

Invariants, kept by the SQL in `billing/ledger/sql` and proven by `manage.py audit_ledger`:
- the sum of a grant's entries is what remains in it; the sum of its grants is a wallet's balance;
- a wallet's entries are numbered without a gap and each carries a hash of the one before it;
- entries are never changed or removed (triggers refuse it).

Nothing outside `billing.ledger` writes these tables; reads go through `selectors.py`.
Foreign keys on the busy tables have no database constraint (each costs about 5 % of a charge); the audit
looks for orphans instead.
"""

from billing.ledger.models.entry import Audit, Correction, Entry
from billing.ledger.models.grant import Allowance, Grant
from billing.ledger.models.use import Charge, Hold, Limit
from billing.ledger.models.wallet import Notice, Wallet

__all__ = [
    "Allowance",
    "Audit",
    "Charge",
    "Correction",
    "Entry",
    "Grant",
    "Hold",
    "Limit",
    "Notice",
    "Wallet",
]
