"""Admin classes of billing. Django's autodiscovery imports this module; the classes are in billing.staff."""

from billing.staff import accounts, ledger, purchases, stripe

__all__ = ["accounts", "ledger", "purchases", "stripe"]
