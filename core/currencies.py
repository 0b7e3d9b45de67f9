"""Currencies as Stripe's API counts them: decimals of the minor unit, steps, smallest and largest amounts.

Invariant: an amount of money is a whole number of these minor units everywhere. They are Stripe's own, not
ISO 4217's or CLDR's: ALL has two decimals here and none there. https://docs.stripe.com/currencies
"""

from decimal import Decimal

# fmt: off
_TWO_DECIMALS = frozenset({
    "aed", "afn", "all", "amd", "ang", "aoa", "ars", "aud", "awg", "azn", "bam", "bbd", "bdt",
    "bgn", "bmd", "bnd", "bob", "brl", "bsd", "bwp", "byn", "bzd", "cad", "cdf", "chf", "cny",
    "cop", "crc", "cve", "czk", "dkk", "dop", "dzd", "egp", "etb", "eur", "fjd", "fkp", "gbp",
    "gel", "gip", "gmd", "gtq", "gyd", "hkd", "hnl", "htg", "huf", "idr", "ils", "inr", "isk",
    "jmd", "kes", "kgs", "khr", "kyd", "kzt", "lak", "lbp", "lkr", "lrd", "lsl", "mad", "mdl",
    "mkd", "mmk", "mnt", "mop", "mur", "mvr", "mwk", "mxn", "myr", "mzn", "nad", "ngn", "nio",
    "nok", "npr", "nzd", "pab", "pen", "pgk", "php", "pkr", "pln", "qar", "ron", "rsd", "rub",
    "sar", "sbd", "scr", "sek", "sgd", "shp", "sle", "sos", "srd", "std", "szl", "thb", "tjs",
    "top", "try", "ttd", "twd", "tzs", "uah", "ugx", "usd", "uyu", "uzs", "wst", "xcd", "xcg",
    "yer", "zar", "zmw",
})
_NO_DECIMALS = frozenset({
    "bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "vnd", "vuv", "xaf", "xof", "xpf",
})
# fmt: on
_THREE_DECIMALS = frozenset({"bhd", "jod", "kwd", "omr", "tnd"})
SUPPORTED = _TWO_DECIMALS | _NO_DECIMALS | _THREE_DECIMALS

# Counted with two decimals that have to be 00. Stripe lists UGX among the zero-decimal currencies too; its
# special case decides: 5 UGX are 500. HUF and TWD have such a rule for payouts, not for charges.
_WHOLE_UNITS = frozenset({"isk", "ugx"})

# https://docs.stripe.com/currencies#minimum-and-maximum-charge-amounts
_MINIMUM = {
    **dict.fromkeys(["aud", "brl", "cad", "chf", "eur", "inr", "nzd", "sgd", "usd"], 50),
    **dict.fromkeys(["aed", "myr", "pln", "ron"], 200),
    **dict.fromkeys(["nok", "sek"], 300),
    **dict.fromkeys(["mxn", "thb"], 1000),
    **{"bgn": 100, "czk": 1500, "dkk": 250, "gbp": 30, "hkd": 400, "huf": 17500, "jpy": 50},
}
_MAXIMUM = {
    "idr": 999_999_999_999,
    "inr": 999_999_999,
    # with cards
    "cop": 999_999_999_999,
    "huf": 999_999_999_999,
    "jpy": 9_999_999_999,
    "lbp": 99_999_999_999_999,
}


def decimals(currency: str) -> int:
    """How many decimals the minor unit has: 2 for usd and isk, 0 for jpy, 3 for kwd."""
    code = currency.lower()
    return 0 if code in _NO_DECIMALS else 3 if code in _THREE_DECIMALS else 2


def decimals_shown(currency: str) -> int:
    """How many decimals people see: as many as can differ from 00."""
    return 0 if currency.lower() in _WHOLE_UNITS else decimals(currency)


def step(currency: str) -> int:
    """Charged and refunded amounts are multiples of it: 10 for kwd (5.124 is not accepted), 100 for isk."""
    code = currency.lower()
    return 10 if code in _THREE_DECIMALS else 100 if code in _WHOLE_UNITS else 1


def payable(amount: int, currency: str) -> int:
    """`amount` minor units rounded down to what can be charged or refunded: KWD 1.239 becomes 1.230."""
    return amount - amount % step(currency)


def minimum(currency: str) -> int:
    """The smallest amount above zero that can be charged, in minor units.

    Stripe states it for the currencies in which it pays out. In others the amount converted to the account's
    own currency counts, which only Stripe knows: the smallest payable amount is returned.
    """
    return _MINIMUM.get(currency.lower(), step(currency))


def maximum(currency: str) -> int:
    """The largest amount that can be charged, in minor units."""
    return payable(_MAXIMUM.get(currency.lower(), 99_999_999), currency)


def to_major(amount: int, currency: str) -> Decimal:
    """Minor units as a Decimal: JPY 500 is 500, USD 500 is 5.00, KWD 500 is 0.500."""
    return Decimal(amount).scaleb(-decimals(currency))


def to_minor(amount: Decimal, currency: str) -> int | None:
    """The minor units of an amount such as a form's 5.00; None when it has decimals that cannot be paid."""
    minor = amount.scaleb(decimals(currency))
    if minor != minor.to_integral_value() or int(minor) % step(currency):
        return None
    return int(minor)
