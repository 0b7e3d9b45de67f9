"""Rates as sentences of the price list."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from pricing.rates.presentation import option_choices, price_lines, services_only
from pricing.rates.rate import Band, Option, Rate, RateLine


def sentences(*lines, **more):
    return price_lines(Rate("echo", "1", datetime(2026, 1, 1, tzinfo=UTC), lines=lines, **more))


def one(meter, credits, **more):
    return RateLine(meter, (Band(None, Decimal(credits)),), **more)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (one("images", "1"), "1 credit per image"),
        (one("images", "11"), "11 credits per image"),
        (one("images", "0.5"), "0.5 credits per image"),
        (one("tokens", "11", per=5000), "11 credits per 5,000 tokens"),
        (one("seconds", "3", per=5, whole_blocks=True), "3 credits per 5 seconds, rounded up"),
        (one("seconds", "3", whole_blocks=True), "3 credits per second, rounded up"),
        (one("uses", "1234567.25"), "1,234,567.25 credits per use"),
        (one("uses", "0"), "0 credits per use"),
    ],
)
def test_a_line_is_a_sentence(line, sentence):
    assert sentences(line) == [sentence]


def test_bands_the_minimum_and_the_multiplier_are_shown():
    bands = RateLine("images", (Band(1000, Decimal(2)), Band(None, Decimal("0.5"))))
    assert sentences(bands, one("uses", "4"), minimum=Decimal(3), multiplier=Decimal("1.5")) == [
        "3 credits per image, up to 1,000",
        "0.75 credits per image",
        "6 credits per use",
        "at least 3 credits",
    ]
    assert sentences(one("uses", "4"), minimum=Decimal("0.5"))[1:] == ["at least 0.5 credits"]
    assert sentences(cost_of_model=True, minimum=Decimal(3)) == ["Price of the selected model"]


@pytest.mark.parametrize(
    ("scopes", "text"),
    [
        (["tag:advanced"], "Advanced models only"),
        (["tag:advanced", "tag:multimodal"], "Advanced and multimodal models only"),
        (["echo"], "The echo only"),
        (["paint", "echo"], "Paint and the echo only"),
        (["echo", "tag:fast"], "The echo and fast models only"),
    ],
)
def test_limited_credits_name_what_they_pay_for(scopes, text):
    assert services_only(scopes, {"echo": "the echo"}) == text


def test_the_choices_of_an_option_have_their_multipliers():
    assert option_choices(Option({"low": Decimal("1.000000"), "high": Decimal("1.50")}, "low")) == [
        ("low", "1"),
        ("high", "1.5"),
    ]
    assert option_choices(Option(None)) == []
