"""A line of a quote as a calculation, in the singular for one unit."""

from decimal import Decimal
from typing import Any

import pytest

from pricing.rates.quotes import QuoteLine
from pricing.templatetags.prices import sum_of


def line(meter: str, quantity: str, **terms: Any) -> QuoteLine:
    values = {
        "unit_credits": Decimal("1.75"),
        "per": 1,
        "multipliers": {},
        "credits": Decimal(0),
        "blocks": None,
    }
    return QuoteLine(meter=meter, quantity=Decimal(quantity), **values | terms)


@pytest.mark.parametrize(
    ("quoted", "text"),
    [
        (line("images", "1"), "1 image × 1.75"),
        (line("images", "2"), "2 images × 1.75"),
        (line("seconds", "1.5"), "1.5 seconds × 1.75"),
        (line("tokens", "2500", per=5000), "2,500 tokens ÷ 5,000 × 1.75"),
        (line("images", "1", multipliers={"ultra": Decimal(2)}), "1 image × 1.75 × 2 (ultra)"),
    ],
)
def test_a_line_names_its_meter_in_the_right_number(quoted: QuoteLine, text: str) -> None:
    assert sum_of(quoted) == text
