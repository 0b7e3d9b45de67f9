"""What staff see of billing. The parts stand in modules of their own; Django finds them through here."""

from billing import ledger_admin, money_admin, stripe_admin

__all__ = ["ledger_admin", "money_admin", "stripe_admin"]
