"""Admin classes of billing. Django's autodiscovery imports this module; the classes are in billing.staff."""

from billing.staff import (
    accounts,
    adjustments,
    ledger,
    plans,
    promotions,
    purchases,
    stripe,
    stripe_prices,
    subscriptions,
)

__all__ = [
    "accounts",
    "adjustments",
    "ledger",
    "plans",
    "promotions",
    "purchases",
    "stripe",
    "stripe_prices",
    "subscriptions",
]
