"""Credits for people: digits grouped, no trailing zeros, never a float.

`credits` is exact; `credits_brief` truncates to two decimals: it never shows more than the balance.
`credits_aligned` is for a column of figures, which align at the decimal point; the exact figure is its title.
The decimals that such a figure lacks are its attribute `data-pad`, for which the style sheet leaves space.
`plural_number` is the count by which a translation selects "credit" or "credits".
"""

from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal

from django import template
from django.utils import formats
from django.utils.html import format_html
from django.utils.safestring import SafeString

from core.amounts import plain

register = template.Library()
_BRIEF = Decimal("0.01")
_MINUS = "\u2212"


def _grouped(value: Decimal) -> str:
    whole, _, fraction = plain(abs(value)).partition(".")
    separator = formats.get_format("THOUSAND_SEPARATOR")
    groups: list[str] = []
    while len(whole) > 3:
        whole, group = whole[:-3], whole[-3:]
        groups.insert(0, group)
    text = str(separator).join([whole, *groups])
    return f"{text}{formats.get_format('DECIMAL_SEPARATOR')}{fraction}" if fraction else text


@register.filter
def credits(value: Decimal | int | str | None) -> str:
    """`1234.5` becomes `1,234.5`; all decimals are shown. A negative amount has a minus sign."""
    if value is None or value == "":
        return ""
    amount = Decimal(value)
    return f"{_MINUS}{_grouped(amount)}" if amount < 0 else _grouped(amount)


@register.filter
def plural_number(value: Decimal | int) -> int:
    """A whole number with the plural form of the amount: a fraction such as 1.5 takes that of 2."""
    amount = Decimal(value)
    return int(amount) if amount == int(amount) else 2


@register.filter
def credits_brief(value: Decimal | int | str | None) -> str:
    """At most two decimals, truncated and not rounded: for the counter and the large figures."""
    if value is None or value == "":
        return ""
    amount = Decimal(value)
    cut = amount.quantize(_BRIEF, rounding=ROUND_DOWN)
    if cut == 0 and amount != 0:
        return f"<{credits(_BRIEF)}" if amount > 0 else f"{_MINUS}<{credits(_BRIEF)}"
    return credits(cut)


def rounded(value: Decimal) -> Decimal:
    """With two decimals, half up as charges; an amount that these would show as 0 has all its decimals."""
    short = value.quantize(_BRIEF, rounding=ROUND_HALF_UP)
    return short if short or not value else value


def padding(text: str, places: int = 2) -> str:
    """The decimals, with the decimal separator, that a figure lacks to have so many."""
    separator = str(formats.get_format("DECIMAL_SEPARATOR"))
    _whole, point, fraction = text.partition(separator)
    missing = "0" * (places - len(fraction))
    return missing if point or not missing else separator + missing


@register.filter
def credits_aligned(value: Decimal) -> SafeString:
    """As `rounded`, aligned with the other figures of its column."""
    text = credits(rounded(Decimal(value)))
    return format_html('<span data-pad="{}" title="{}">{}</span>', padding(text), credits(value), text)


@register.filter
def credits_signed(value: Decimal | int | str | None) -> str:
    """With its sign, for movements: `+100`, `-5.25` (a true minus)."""
    if value is None or value == "":
        return ""
    amount = Decimal(value)
    return f"+{_grouped(amount)}" if amount > 0 else credits(amount)
