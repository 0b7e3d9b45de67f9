"""Amounts of money that Stripe accepts: whole minor units; in three-decimal currencies the last digit is 0.

See https://docs.stripe.com/currencies#three-decimal.
"""

from babel.numbers import get_currency_precision

THREE_DECIMALS = 3


def payable(amount: int, currency: str) -> int:
    """`amount` minor units rounded down to what Stripe can charge or refund: KWD 1.239 becomes 1.230."""
    step = 10 if get_currency_precision(currency.upper()) == THREE_DECIMALS else 1
    return amount - amount % step
