"""Amounts of credits: scale, rounding and notation.

Invariant: a credit amount is a Decimal with at most six places; it is rounded here and nowhere else,
half up, once, at the end of a charge. Floats are refused. No amount of a request is above LARGEST.
"""

import re
from decimal import ROUND_HALF_UP, Decimal

from django.utils.translation import ngettext

PLACES = Decimal("0.000001")
LARGEST = Decimal(10**9)
"""The largest amount of one price, charge, hold, grant, limit or adjustment."""
LARGEST_BALANCE = Decimal(10**12)
"""Up to this balance credits can be given; above it only allowances and paid purchases add to it. The
columns, numeric(20,6), hold a hundred times as much, so that these always arrive."""
_PLAIN = re.compile(r"[0-9]{1,14}(\.[0-9]{1,6})?", re.ASCII)


def rounded(value: Decimal) -> Decimal:
    """The amount rounded to six places, half up. This is the only rounding of credits in the product."""
    return value.quantize(PLACES, rounding=ROUND_HALF_UP)


def plain(value: Decimal) -> str:
    """Plain decimal notation without trailing zeros: "5.5", "100", "0" (the form of the REST API)."""
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in {"-0", ""} else text


def counted(value: Decimal) -> str:
    """The amount with its unit, for messages of the REST API: "1 credit", "5.5 credits"."""
    return ngettext("%(credits)s credit", "%(credits)s credits", 1 if value == 1 else 2) % {
        "credits": plain(value)
    }


def plain_or_none(value: Decimal | None) -> str | None:
    return None if value is None else plain(value)


def parse(text: str) -> Decimal | None:
    """The amount in a client's text: ASCII digits, at most six decimals, no sign; None if it is invalid.

    The caller compares it with LARGEST.
    """
    return Decimal(text) if _PLAIN.fullmatch(text) else None
