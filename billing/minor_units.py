"""Sums of money as Stripe takes them: whole minor units, and of three decimals the last must be 0."""

from babel.numbers import get_currency_precision

THREE_DECIMALS = 3


def payable(amount: int, currency: str) -> int:
    """So many minor units rounded down to what can be charged or refunded: KWD 1.239 is 1.230."""
    step = 10 if get_currency_precision(currency.upper()) == THREE_DECIMALS else 1
    return amount - amount % step
