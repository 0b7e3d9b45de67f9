"""The stage of billing's tests, for the faults of payments."""

from tests.billing.conftest import (
    account,
    balance,
    events,
    later,
    no_terms_remembered,
    order,
    paid,
    pay,
    stripe_world,
    tell,
)

__all__ = [
    "account",
    "balance",
    "events",
    "later",
    "no_terms_remembered",
    "order",
    "paid",
    "pay",
    "stripe_world",
    "tell",
]
