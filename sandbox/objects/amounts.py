"""Amounts in minor units: the smallest and largest that can be charged, and how error messages write them.

https://docs.stripe.com/currencies
"""

from sandbox import errors

MINIMUM = {
    "jpy": 50,
    "krw": 500,
    "hkd": 400,
    "cny": 400,
    "mxn": 1000,
    "sek": 300,
    "nok": 300,
    "dkk": 250,
    "gbp": 30,
}
MAXIMUM = 99_999_999
ZERO_DECIMAL = {
    *("bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga"),
    *("pyg", "rwf", "ugx", "vnd", "vuv", "xaf", "xof", "xpf"),
}


def minimum(currency: str) -> int:
    """The smallest amount that can be charged, in minor units."""
    return MINIMUM.get(currency, 50)


def check(amount: int, currency: str) -> None:
    """Raise StripeError for an amount that cannot be charged."""
    if amount < 1:
        raise errors.StripeError(
            "This value must be greater than or equal to 1.", code="parameter_invalid_integer", param="amount"
        )
    if amount < minimum(currency):
        raise errors.StripeError(
            f"Amount must be at least {format_amount(minimum(currency), currency)}",
            code="amount_too_small",
            param="amount",
        )
    if amount > MAXIMUM:
        raise errors.StripeError(
            "Amount must be no more than 999,999.99", code="amount_too_large", param="amount"
        )


def format_amount(amount: int, currency: str) -> str:
    """An amount as Stripe's error messages write it: "12.34 usd"."""
    if currency in ZERO_DECIMAL:
        return f"{amount} {currency}"
    return f"{amount // 100}.{amount % 100:02d} {currency}"
