"""Billing's tables. The ledger's own are defined beside it."""

from billing.ledger.models import (
    Allowance,
    Audit,
    Charge,
    Correction,
    Entry,
    Grant,
    Hold,
    Limit,
    Notice,
    Wallet,
)

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
