"""The ledger: the only writer of credits. Every move is one of the functions exported here.

Each takes `now` (timezone-aware) and, where it moves credits, an idempotency key. Each raises a named error
of `billing.ledger.errors`, and a call that raises has changed nothing. The SQL functions in `sql/` decide and
write; `manage.py audit_ledger` proves the result from the entries alone.
"""

from billing.ledger import archive, audit, checkpoints, distribution
from billing.ledger.balances import Balance, GrantInForce, Span, balance, balances, settle_for_read, span
from billing.ledger.batches import charge_many
from billing.ledger.charges import charge, charge_account, charge_at_once, charged_accounts
from billing.ledger.corrections import adjust, claw_back, restore, reverse
from billing.ledger.database import is_distributed, owner, read_reachable
from billing.ledger.errors import (
    AlreadyExpired,
    AlreadyRestored,
    AmountInvalid,
    BalanceTooLarge,
    InDebt,
    InsufficientCredits,
    KeyReused,
    LargestBalance,
    LedgerError,
    LimitReached,
    NotReversible,
    QuotaReached,
    Shortfall,
    TooManyGrants,
    UnknownCharge,
    UnknownClawBack,
    UnknownWallet,
    WalletBusy,
    WalletUnreachable,
    WalletUnusable,
)
from billing.ledger.grants import grant, open_wallet
from billing.ledger.hold_errors import (
    BudgetExceeded,
    ChildrenOpen,
    HoldClosed,
    TooManyHolds,
    TreeTooDeep,
    UnknownHold,
)
from billing.ledger.holds import capture, hold, release, report_usage
from billing.ledger.moves import AllowanceTerms, Charged, ChargeRequest, Corrected, Drawn, Granted, Held
from billing.ledger.settling import set_allowances, set_limit, set_warning, settle, settle_due
from billing.ledger.trees import BranchSums, newest_roots, tree

__all__ = [
    "AllowanceTerms",
    "AlreadyExpired",
    "AlreadyRestored",
    "AmountInvalid",
    "Balance",
    "BalanceTooLarge",
    "BranchSums",
    "BudgetExceeded",
    "ChargeRequest",
    "Charged",
    "ChildrenOpen",
    "Corrected",
    "Drawn",
    "GrantInForce",
    "Granted",
    "Held",
    "HoldClosed",
    "InDebt",
    "InsufficientCredits",
    "KeyReused",
    "LargestBalance",
    "LedgerError",
    "LimitReached",
    "NotReversible",
    "QuotaReached",
    "Shortfall",
    "Span",
    "TooManyGrants",
    "TooManyHolds",
    "TreeTooDeep",
    "UnknownCharge",
    "UnknownClawBack",
    "UnknownHold",
    "UnknownWallet",
    "WalletBusy",
    "WalletUnreachable",
    "WalletUnusable",
    "adjust",
    "archive",
    "audit",
    "balance",
    "balances",
    "capture",
    "charge",
    "charge_account",
    "charge_at_once",
    "charge_many",
    "charged_accounts",
    "checkpoints",
    "claw_back",
    "distribution",
    "grant",
    "hold",
    "is_distributed",
    "newest_roots",
    "open_wallet",
    "owner",
    "read_reachable",
    "release",
    "report_usage",
    "restore",
    "reverse",
    "set_allowances",
    "set_limit",
    "set_warning",
    "settle",
    "settle_due",
    "settle_for_read",
    "span",
    "tree",
]
