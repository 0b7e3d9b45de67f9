"""Amounts in minor units: the smallest and largest that can be charged, and how error messages write them.

The tables are those of https://docs.stripe.com/currencies (zero-decimal and three-decimal currencies, special
cases, minimum and maximum charge amounts), for an account that is paid out in each currency of the table.
Invariant: they do not use the product's own tables (core.currencies), which the tests compare with them.
"""

from sandbox import errors

MINIMUM = {
    **{
        "usd": 50,
        "aed": 200,
        "aud": 50,
        "bgn": 100,
        "brl": 50,
        "cad": 50,
        "chf": 50,
        "czk": 1500,
        "dkk": 250,
    },
    **{"eur": 50, "gbp": 30, "hkd": 400, "huf": 17500, "inr": 50, "jpy": 50, "mxn": 1000, "myr": 200},
    **{"nok": 300, "nzd": 50, "pln": 200, "ron": 200, "sek": 300, "sgd": 50, "thb": 1000},
    # Not in Stripe's table: about 0.50 USD, into which the sandbox's account would convert them.
    **{"cny": 350, "krw": 700, "kwd": 150, "vnd": 13000},
}
LONGER = {"idr": 12, "inr": 9, "cop": 12, "huf": 12, "jpy": 10, "lbp": 14}  # most amounts have eight digits
ZERO_DECIMAL = {
    *("bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga"),
    *("pyg", "rwf", "vnd", "vuv", "xaf", "xof", "xpf"),
}
THREE_DECIMAL = {"bhd", "jod", "kwd", "omr", "tnd"}
WHOLE_UNITS = {"isk", "ugx"}  # two decimals that have to be 00


def minimum(currency: str) -> int:
    """The smallest amount that can be charged, in minor units."""
    return MINIMUM.get(currency, step(currency))


def step(currency: str) -> int:
    """Amounts are multiples of it."""
    return 10 if currency in THREE_DECIMAL else 100 if currency in WHOLE_UNITS else 1


def check(amount: int, currency: str) -> None:
    """Raise StripeError for an amount that cannot be charged."""
    if amount < 1:
        raise errors.StripeError(
            "This value must be greater than or equal to 1.", code="parameter_invalid_integer", param="amount"
        )
    check_step(amount, currency)
    if amount < minimum(currency):
        raise errors.StripeError(
            f"Amount must be at least {format_amount(minimum(currency), currency)}",
            code="amount_too_small",
            param="amount",
        )
    largest = 10 ** LONGER.get(currency, 8) - 1
    if amount > largest:
        raise errors.StripeError(
            f"Amount must be no more than {format_amount(largest, currency)}",
            code="amount_too_large",
            param="amount",
        )


def check_step(amount: int, currency: str) -> None:
    """Raise StripeError for an amount with a fraction that the currency does not have."""
    if amount % step(currency):
        raise errors.StripeError(
            f"Invalid amount. The {currency.upper()} amount has to be a multiple of {step(currency)}.",
            code="parameter_invalid_integer",
            param="amount",
        )


def format_amount(amount: int, currency: str) -> str:
    """An amount as Stripe's error messages write it: "12.34 usd"."""
    places = 0 if currency in ZERO_DECIMAL else 3 if currency in THREE_DECIMAL else 2
    whole, fraction = divmod(amount, 10**places)
    return f"{whole}.{fraction:0{places}d} {currency}" if places else f"{whole} {currency}"
