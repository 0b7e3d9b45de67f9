"""Admin classes of billing. Django's autodiscovery imports this module; the classes are in billing.staff."""

from billing.staff import ledger, purchases, stripe

__all__ = ["ledger", "purchases", "stripe"]
