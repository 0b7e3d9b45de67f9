"""The price of a use: figures, refused uses, and properties that hold for every rate and use."""

import string
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing.rates.meters import METERS as ALL_METERS
from pricing.rates.quotes import quote
from pricing.rates.rate import Band, Option, Rate, RateLine, lines_as_json, lines_from_json
from pricing.rates.validation import UsageInvalid

THEN = datetime(2026, 1, 1, tzinfo=UTC)


def line(meter="tokens", credits="11", per=5000, **more):
    return RateLine(meter, (Band(None, Decimal(credits)),), per=per, **more)


def rate(*lines, service="echo", **more):
    return Rate(service, "2026-01-01", THEN, lines=lines, **more)


def refusal(of, usage, options=None, **more):
    with pytest.raises(UsageInvalid) as refused:
        quote(of, usage, options, **more)
    return refused.value.field, refused.value.code


def test_started_blocks_are_charged_as_whole_blocks():
    blocks = rate(line(credits="2", per=1000, whole_blocks=True))
    assert [quote(blocks, {"tokens": n}).credits for n in (1, 1000, 1001, 2500)] == [2, 2, 4, 6]
    (shown,) = quote(blocks, {"tokens": 1001}).lines_as_json()
    assert shown["blocks"] == 2


def test_each_band_has_its_own_price():
    bands = rate(RateLine("images", (Band(10, Decimal(2)), Band(20, Decimal(1)), Band(None, Decimal("0.5")))))
    assert [quote(bands, {"images": n}).credits for n in (10, 11, 20, 30)] == [20, 21, 30, 35]
    assert [step.quantity for step in quote(bands, {"images": 25}).lines] == [10, 10, 5]


def test_a_small_use_costs_the_minimum_which_is_a_line_of_the_quote():
    least = rate(line(credits="1", per=1000), minimum=Decimal("0.5"))
    quoted = quote(least, {"tokens": 100})
    assert quoted.credits == Decimal("0.5")
    assert [(step.meter, step.credits) for step in quoted.lines] == [
        ("tokens", Decimal("0.1")),
        ("minimum", Decimal("0.4")),
    ]
    assert quote(least, {"tokens": 600}).credits == Decimal("0.6")


def test_input_cached_image_and_output_tokens_have_their_own_figures():
    kinds = rate(
        line("input_tokens", "1", 1000),
        line("cached_input_tokens", "0.1", 1000),
        line("image_tokens", "2", 1000),
        line("output_tokens", "4", 1000),
    )
    usage = {"input_tokens": 1000, "cached_input_tokens": 1000, "image_tokens": 1000, "output_tokens": 1000}
    assert quote(kinds, usage).credits == Decimal("7.1")
    assert quote(kinds, {"input_tokens": 1000, "output_tokens": 0}).credits == 1


def test_rounding_happens_once_at_the_end_and_half_up():
    thirds = rate(line("input_tokens", "1", 3), line("output_tokens", "1", 3))
    quoted = quote(thirds, {"input_tokens": 1, "output_tokens": 1})
    assert quoted.credits == Decimal("0.666667")
    assert [step.credits for step in quoted.lines] == [Decimal("0.333333"), Decimal("0.333334")]
    halves = rate(line(credits="1", per=2_000_000))
    assert quote(halves, {"tokens": 1}).credits == Decimal("0.000001")


def test_an_action_costs_its_own_figure_or_what_its_model_costs():
    model = rate(line("images", "3", 1), service="model")
    fixed = rate(line("uses", "2", 1), service="fixed")
    starred = rate(service="starred", cost_of_model=True)
    assert quote(model, {"uses": 1}, action=fixed).credits == 2
    quoted = quote(model, {"images": 2}, action=starred)
    assert (quoted.credits, quoted.service, quoted.action) == (6, "model", "starred")
    assert quoted.lines[0].multipliers == {}, "a factor of 1 is no part of the price"
    double = rate(service="double", cost_of_model=True, multiplier=Decimal(2))
    assert quote(model, {"images": 2}, action=double).credits == 12
    assert refusal(starred, {"uses": 1}) == ("service", "model_required")


def test_options_multiply_or_have_no_effect_and_the_default_is_applied():
    options = {
        "quality": Option({"low": Decimal(1), "high": Decimal("1.5")}, "low"),
        "speed": Option({"slow": Decimal(1), "fast": Decimal(2)}, "fast"),
        "resolution": Option(None),
    }
    of = rate(line("images", "2", 1), options=options)
    assert quote(of, {"images": 1}).credits == 4
    assert quote(of, {"images": 1}, {"quality": "high", "speed": "slow", "resolution": 4096}).credits == 3
    halved = rate(
        line("images", "2", 1), options={"size": Option({"s": Decimal("0.5"), "l": Decimal(1)}, "s")}
    )
    assert [quote(halved, {"images": 1}, chosen).credits for chosen in ({}, {"size": "l"})] == [1, 2]
    assert refusal(of, {"images": 1}, {"quality": "best"}) == ("options.quality", "unknown_value")
    assert refusal(of, {"images": 1}, {"colour": "red"}) == ("options.colour", "unknown_option")
    assert refusal(of, {"images": 1}, {"resolution": ["4k"]}) == ("options.resolution", "invalid")


@pytest.mark.fault("I1")
@pytest.mark.parametrize(
    ("value", "code"),
    [
        (-1, "negative"),
        (1.5, "fractional"),
        (Decimal("0.5"), "fractional"),
        (float("nan"), "not_a_number"),
        (float("inf"), "not_a_number"),
        (Decimal("sNaN"), "not_a_number"),
        (2**63, "too_large"),
        ("१०", "not_a_number"),
        ("10", "not_a_number"),
        (None, "not_a_number"),
        (True, "not_a_number"),
        ([1], "not_a_number"),
    ],
)
def test_an_invalid_quantity_is_refused_with_its_field(value, code):
    assert refusal(rate(line()), {"tokens": value}) == ("usage.tokens", code)


def test_a_use_must_have_exactly_the_meters_of_the_rate():
    per_token = rate(line(also=("input_tokens", "output_tokens")))
    assert refusal(per_token, {}) == ("usage.tokens", "required")
    assert refusal(per_token, {"images": 1, "tokens": 1}) == ("usage.images", "unknown_meter")
    assert refusal(per_token, {"tokens": 1, "input_tokens": 1}) == ("usage.input_tokens", "counted_twice")
    assert refusal(per_token, {"tokens": 0}) == ("usage", "nothing_used")
    assert refusal(per_token, {"\ud800": 1, "tokens": 1}) == ("usage.\\ud800", "unknown_meter")
    assert refusal(per_token, {"x" * 61: 1, "tokens": 1}) == (f"usage.{'x' * 60}", "unknown_meter")


def test_seconds_alone_may_have_a_fraction_of_six_decimals():
    seconds = rate(line("seconds", "9.8", 1))
    assert quote(seconds, {"seconds": 2.1}).credits == Decimal("20.58"), "a float counts as it is written"
    assert quote(seconds, {"seconds": Decimal("2.000001")}).credits == Decimal("19.60001")
    assert refusal(seconds, {"seconds": Decimal("0.0000001")}) == ("usage.seconds", "fractional")
    whole = {meter: refusal(rate(line(meter)), {meter: 1.5}) for meter in ALL_METERS if meter != "seconds"}
    assert whole == {meter: (f"usage.{meter}", "fractional") for meter in whole}


def test_a_price_above_the_largest_balance_is_refused():
    assert refusal(rate(line("uses", "99999999999999", 1)), {"uses": 10**12}) == ("usage", "too_large")


# -- properties ---------------------------------------------------------------------------------------

METERS = ["input_tokens", "output_tokens", "images", "uses", "characters"]
figures = st.decimals(0, 100, places=6)  # no price may exceed core.amounts.LARGEST
factors = st.decimals("0.000001", 10, places=6)
quantities = st.integers(0, 10**4)


@st.composite
def lines(draw, meter):
    per = draw(st.sampled_from([1, 3, 7, 1000, 5000]))
    ends = sorted(draw(st.sets(st.integers(1, 200), max_size=3)))
    bands = [Band(end * per, draw(figures)) for end in ends] + [Band(None, draw(figures))]
    return RateLine(meter, tuple(bands), per=per, whole_blocks=draw(st.booleans()))


@st.composite
def priced_uses(draw):
    named = draw(st.lists(st.sampled_from(METERS), min_size=1, max_size=3, unique=True))
    values = draw(
        st.dictionaries(
            st.text(string.ascii_lowercase, min_size=1, max_size=3), factors, min_size=1, max_size=3
        )
    )
    of = rate(
        *[draw(lines(meter)) for meter in named],
        minimum=draw(st.sampled_from([Decimal(0), Decimal("0.01"), Decimal(5)])),
        multiplier=draw(factors),
        options={"quality": Option(values, next(iter(values)))},
    )
    usage = {meter: draw(quantities) for meter in named}
    usage[named[0]] += 1
    return of, usage, {"quality": draw(st.sampled_from(sorted(values)))}


def independent_price(of, usage, options):
    """The price computed with fractions, without code of the product."""
    total = Fraction(0)
    for line in of.lines:
        remaining, priced = usage[line.meter], 0
        for band in line.bands:
            inside = remaining if band.up_to is None else min(remaining, band.up_to - priced)
            count = -(-inside // line.per) * line.per if line.whole_blocks else inside
            total += Fraction(count) * Fraction(band.credits) / line.per
            remaining -= inside
            priced += inside
    factor = Fraction(of.multiplier) * Fraction(of.options["quality"].multipliers[options["quality"]])
    exact = max(total * factor, Fraction(of.minimum)) * 10**6
    return Decimal(int(exact + Fraction(1, 2))) / 10**6


@given(priced_uses())
def test_every_quote_equals_an_independent_computation(case):
    of, usage, options = case
    assert quote(of, usage, options).credits == independent_price(of, usage, options)


@given(priced_uses())
def test_the_lines_of_every_quote_add_up_to_its_credits_and_can_be_recomputed(case):
    of, usage, options = case
    quoted = quote(of, usage, options)
    assert sum(step.credits for step in quoted.lines) == quoted.credits
    for step in quoted.lines:
        count = step.quantity if step.blocks is None else step.blocks * step.per
        alone = Fraction(count) * Fraction(step.unit_credits) / step.per
        for factor in step.multipliers.values():
            alone *= Fraction(factor)
        assert abs(Fraction(step.credits) - alone) <= Fraction(1, 10**6)


@given(priced_uses(), st.data())
def test_more_usage_never_costs_less(case, data):
    of, usage, options = case
    more = {meter: count + data.draw(quantities) for meter, count in usage.items()}
    assert quote(of, more, options).credits >= quote(of, usage, options).credits


@given(lines("images"))
def test_price_lines_are_stored_and_read_unchanged(rate_line):
    assert lines_from_json(lines_as_json((rate_line,))) == (rate_line,)


def test_a_use_of_zero_costs_nothing_where_it_is_allowed():
    lines = (line(also=("input_tokens", "output_tokens")), line("cached_input_tokens"))
    minimum = rate(*lines, minimum=Decimal(5))
    assert quote(minimum, {"tokens": 1}).credits == 5
    for usage in ({"tokens": 0}, {}):
        zero = quote(minimum, usage, zero_allowed=True)
        assert zero.credits == 0 and [one.quantity for one in zero.lines] == [0]
    with pytest.raises(UsageInvalid):
        quote(minimum, {"images": 0}, zero_allowed=True)


# -- boundaries and whole values ----------------------------------------------------------------------


def test_the_minimum_applies_below_it_only():
    least = rate(line(credits="1", per=1000), minimum=Decimal("0.5"), multiplier=Decimal(2))
    for tokens, credits, meters in (
        (249, "0.5", ["tokens", "minimum"]),
        (250, "0.5", ["tokens"]),
        (251, "0.502", ["tokens"]),
    ):
        quoted = quote(least, {"tokens": tokens})
        assert (quoted.credits, [step.meter for step in quoted.lines]) == (Decimal(credits), meters)
    (_tokens, minimum) = quote(least, {"tokens": 100}).lines_as_json()
    assert minimum == {
        "meter": "minimum",
        "quantity": 1,
        "unit_credits": "0.3",
        "per": 1,
        "multipliers": {},
        "credits": "0.3",
    }


def test_a_quote_has_every_value_of_its_rate_and_use():
    options = {"quality": Option({"low": Decimal(1), "high": Decimal("1.5")}, "low")}
    model = rate(line(), service="model", options=options, multiplier=Decimal("1.25"))
    starred = rate(service="starred", cost_of_model=True, multiplier=Decimal(2))
    quoted = quote(model, {"tokens": 2500}, {"quality": "high"}, action=starred)
    names = (quoted.service, quoted.action, quoted.rate_version, quoted.rate_effective_at, quoted.maximum)
    assert names == ("model", "starred", "2026-01-01", THEN, quoted.credits)
    assert quoted.rate_as_json() == {"version": "2026-01-01", "effective_at": "2026-01-01T00:00:00Z"}
    assert quoted.lines_as_json() == [
        {
            "meter": "tokens",
            "quantity": 2500,
            "unit_credits": "11",
            "per": 5000,
            "multipliers": {"service=model": "1.25", "action=starred": "2", "quality=high": "1.5"},
            "credits": "20.625",
        }
    ]
    sizes = {"size": Option({"s": Decimal(1), "l": Decimal(5)}, "s")}
    own = replace(
        rate(line("uses", "2", 1), service="own", multiplier=Decimal(3), options=sizes), version="2"
    )
    alone = quote(model, {"uses": 2}, action=own)
    assert (alone.credits, alone.service, alone.action, alone.rate_version) == (12, "model", "own", "2")
    assert quote(model, {"uses": 2}, {"size": "l"}, action=own).credits == 60
    assert refusal(model, {"uses": 2}, {"quality": "high"}, action=own)[1] == "unknown_option"
    assert alone.lines[0].multipliers == {"service=own": 3}, "without the multiplier of the model"
    plain = quote(rate(line("seconds", "1", 1)), {"seconds": Decimal("1.50")}).lines_as_json()
    assert (plain[0]["quantity"], plain[0]["multipliers"], "blocks" in plain[0]) == ("1.5", {}, False)


def test_the_largest_quantity_and_price_are_accepted():
    largest = rate(line("uses", "0.001", 1))
    assert quote(largest, {"uses": 10**12}).credits == 10**9
    assert refusal(largest, {"uses": 10**12 + 1}) == ("usage.uses", "too_large")
    dear = rate(line("uses", "1", 1), minimum=Decimal("0.000001"))
    assert quote(dear, {"uses": 10**9}).credits == 10**9
    assert refusal(dear, {"uses": 10**9 + 1}) == ("usage", "too_large")


def test_bands_of_whole_blocks_and_of_several_meters():
    bands = RateLine(
        "tokens",
        (Band(2000, Decimal(3)), Band(None, Decimal(1))),
        per=1000,
        whole_blocks=True,
        also=("input_tokens", "output_tokens"),
    )
    of = rate(bands, line("images", "5", 1))
    for tokens, credits, blocks in ((1, 3, [1]), (2000, 6, [2]), (2001, 7, [2, 1]), (4000, 8, [2, 2])):
        for usage in ({"tokens": tokens}, {"input_tokens": tokens - 1, "output_tokens": 1}):
            quoted = quote(of, usage | {"images": 0})
            assert quoted.credits == credits
            assert [step.blocks for step in quoted.lines if step.meter == "tokens"] == blocks
    assert quote(of, {"input_tokens": 1500, "images": 2}).credits == 16, "parts may be sent alone"
    assert refusal(of, {"tokens": 5, "images": 1, "output_tokens": 1}) == (
        "usage.output_tokens",
        "counted_twice",
    )
    assert refusal(of, {"tokens": 5}) == ("usage.images", "required")


def test_an_option_is_a_text_of_at_most_100_letters_or_a_number():
    options = {"free": Option(None), "size": Option({"4": Decimal(2), "8": Decimal(3)}, "4")}
    of = rate(line("uses", "1", 1), options=options)
    assert quote(of, {"uses": 1}).credits == 2
    assert quote(of, {"uses": 1}, {"size": "8"}).credits == 3
    assert quote(of, {"uses": 1}, {"free": "x" * 100}).credits == 2
    for value in ("x" * 101, True, None, 1.5, ["a"], {}):
        assert refusal(of, {"uses": 1}, {"free": value}) == ("options.free", "invalid"), value
    with pytest.raises(UsageInvalid, match="Available options: free, size"):
        quote(of, {"uses": 1}, {"colour": "red"})
    with pytest.raises(UsageInvalid, match="Choose one of: 4, 8"):
        quote(of, {"uses": 1}, {"size": "5"})
    with pytest.raises(UsageInvalid, match="Available options: none"):
        quote(rate(line("uses", "1", 1)), {"uses": 1}, {"size": "4"})


def test_the_message_of_an_unknown_meter_lists_those_of_the_rate():
    of = rate(line(also=("input_tokens", "output_tokens")), line("images", "1", 1))
    with pytest.raises(UsageInvalid, match="It counts: tokens, input_tokens, output_tokens, images"):
        quote(of, {"tokens": 1, "images": 1, "seconds": 1})
