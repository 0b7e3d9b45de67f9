"""The formats of credits, money and times."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from core.templatetags import credits as credits_tags
from core.templatetags import money as money_tags
from core.templatetags import times

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("0", "0"),
        ("5.500000", "5.5"),
        ("1234567.000001", "1,234,567.000001"),
        ("-1234.5", "−1,234.5"),
        ("100.000000", "100"),
    ],
)
def test_credits_are_grouped_and_exact(amount: str, text: str) -> None:
    assert credits_tags.credits(Decimal(amount)) == text


def test_figures_of_a_column_align_at_the_decimal_point_with_the_exact_one_as_title() -> None:
    """`data-pad` has the decimals that a figure lacks, for which the style sheet leaves space."""
    amounts = ("574.549", "63", "0.0042", "0", "-1234.5", "999.999", "2.865")
    assert [credits_tags.credits_aligned(Decimal(amount)) for amount in amounts] == [
        '<span data-pad="" title="574.549">574.55</span>',
        '<span data-pad=".00" title="63">63</span>',
        '<span data-pad="" title="0.0042">0.0042</span>',
        '<span data-pad=".00" title="0">0</span>',
        '<span data-pad="0" title="−1,234.5">−1,234.5</span>',
        '<span data-pad=".00" title="999.999">1,000</span>',
        '<span data-pad="" title="2.865">2.87</span>',
    ]
    assert [credits_tags.padding(text, 4) for text in ("12", "1.5", "0.0042", "1.23456")] == [
        ".0000",
        "000",
        "",
        "",
    ]


@given(st.decimals(-(10**13), 10**13, places=6))
def test_no_digit_of_an_amount_is_lost(amount: Decimal) -> None:
    text = credits_tags.credits(amount).replace(",", "").replace("−", "-")
    assert Decimal(text) == amount


@pytest.mark.parametrize(
    ("amount", "text"),
    [("2770.1799", "2,770.17"), ("0.004", "<0.01"), ("0", "0"), ("8.5", "8.5"), ("99.999999", "99.99")],
)
def test_brief_figures_are_rounded_down(amount: str, text: str) -> None:
    assert credits_tags.credits_brief(Decimal(amount)) == text


def test_movements_have_a_sign() -> None:
    assert credits_tags.credits_signed(Decimal(100)) == "+100"
    assert credits_tags.credits_signed(Decimal("-5.25")) == "−5.25"
    assert credits_tags.credits_signed(Decimal(0)) == "0"


@pytest.mark.fault("P11")
@pytest.mark.parametrize(
    ("minor", "currency", "text"),
    [(1050, "usd", "$10.50"), (500, "jpy", "¥500"), (1000, "kwd", "KWD1.000"), (1000, "cny", "CN¥10.00")],
)
def test_money_has_the_decimals_of_its_currency(minor: int, currency: str, text: str) -> None:
    assert money_tags.money(minor, currency) == text


@pytest.mark.parametrize(
    ("each", "text"),
    [
        ("0.01", "$0.01"),
        ("0.008", "$0.008"),
        ("0.0033333333", "$0.00333"),
        ("0.1", "$0.10"),
        ("1.5", "$1.50"),
        ("0", "$0.00"),
    ],
)
def test_the_price_of_one_credit_keeps_three_significant_digits(each: str, text: str) -> None:
    assert money_tags.money_each(Decimal(each), "usd") == text


@pytest.mark.parametrize(
    ("passed", "text"),
    [
        (timedelta(seconds=3), "just now"),
        (timedelta(seconds=45), "45 s ago"),
        (timedelta(minutes=3), "3 min ago"),
        (timedelta(hours=7, minutes=12), "7 h 12 min ago"),
        (timedelta(days=2, hours=5), "2 days ago"),
        (timedelta(days=20), "31 Oct"),
        (timedelta(days=400), "16 Oct 2025"),
    ],
)
def test_a_past_time_is_shown_relative_to_now(passed: timedelta, text: str) -> None:
    assert f">{text}</time>" in times.ago(NOON - passed, NOON)


@pytest.mark.parametrize(
    ("left", "text"),
    [
        (timedelta(hours=7, minutes=12), "in 7 h 12 min"),
        (timedelta(days=30), "on 20 Dec"),
        (timedelta(seconds=-5), "now"),
    ],
)
def test_a_future_time_is_shown_relative_to_now(left: timedelta, text: str) -> None:
    assert f">{text}</time>" in times.until(NOON + left, NOON)


@pytest.mark.fault("T8")
@pytest.mark.parametrize(
    ("zone", "exact"),
    [
        ("Asia/Kathmandu", "20 Nov 2026, 17:45:00"),
        ("Pacific/Kiritimati", "21 Nov 2026, 02:00:00"),
        ("UTC", "20 Nov 2026, 12:00:00 UTC"),
    ],
)
def test_the_exact_time_is_shown_in_the_accounts_zone(zone: str, exact: str) -> None:
    with timezone.override(zone):
        element = times.at(NOON, NOON)
    assert 'datetime="2026-11-20T12:00:00Z"' in element
    assert exact in element


def test_nothing_is_shown_for_no_amount() -> None:
    for write in (credits_tags.credits, credits_tags.credits_brief, credits_tags.credits_signed):
        assert write(None) == write("") == ""
    assert money_tags.money(None, "usd") == money_tags.money(5, "") == ""
    assert money_tags.money_each(None, "usd") == money_tags.money_each(Decimal(1), "") == ""
    assert times.ago(None) == times.until(None) == times.at(None) == ""


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("0.01", "0.01"),
        ("0.009999", "<0.01"),
        ("-0.009999", "−<0.01"),
        ("-0.01", "−0.01"),
        ("-1234.569", "−1,234.56"),
        ("999", "999"),
        ("1000", "1,000"),
        ("999999.999", "999,999.99"),
    ],
)
def test_brief_figures_at_their_boundaries(amount: str, text: str) -> None:
    assert credits_tags.credits_brief(Decimal(amount)) == text


@pytest.mark.parametrize(
    ("amount", "number"), [("1", 1), ("1.000000", 1), ("0", 0), ("1.5", 2), ("0.5", 2), ("21", 21)]
)
def test_a_fraction_takes_the_plural(amount: str, number: int) -> None:
    assert credits_tags.plural_number(Decimal(amount)) == number


@pytest.mark.parametrize(
    ("each", "currency", "text"),
    [
        ("0.00995", "usd", "$0.00995"),
        ("0.5", "jpy", "¥0.5"),
        ("0.12345", "jpy", "¥0.123"),
        ("12", "jpy", "¥12"),
        ("12.345", "usd", "$12.34"),
        ("0.1234", "kwd", "KWD0.123"),
    ],
)
def test_the_price_of_one_credit_in_other_currencies(each: str, currency: str, text: str) -> None:
    assert money_tags.money_each(Decimal(each), currency).replace("\u00a0", "") == text


@pytest.mark.parametrize(
    ("length", "text"),
    [
        (timedelta(seconds=-1), "0 s"),
        (timedelta(seconds=59), "59 s"),
        (timedelta(seconds=60), "1 min"),
        (timedelta(minutes=59, seconds=59), "59 min"),
        (timedelta(hours=1), "1 h"),
        (timedelta(hours=1, minutes=1), "1 h 1 min"),
        (timedelta(hours=23, minutes=59), "23 h 59 min"),
        (timedelta(hours=24, minutes=5), "24 h"),
        (timedelta(hours=47, minutes=59), "47 h"),
        (timedelta(days=2), "2 days"),
        (timedelta(days=6, hours=23), "6 days"),
    ],
)
def test_a_length_of_time_has_its_two_largest_units(length: timedelta, text: str) -> None:
    assert times.span(length) == text


def test_relative_times_at_their_boundaries() -> None:
    second = timedelta(seconds=1)
    assert ">just now<" in times.ago(NOON - 9 * second, NOON)
    assert ">10 s ago<" in times.ago(NOON - 10 * second, NOON)
    assert ">6 days ago<" in times.ago(NOON - timedelta(days=7) + second, NOON)
    assert ">13 Nov<" in times.ago(NOON - timedelta(days=7), NOON)
    assert ">31 Dec 2025<" in times.ago(datetime(2025, 12, 31, 12, tzinfo=UTC), NOON)
    assert ">1 Jan<" in times.ago(datetime(2026, 1, 1, tzinfo=UTC), NOON)
    assert ">now<" in times.until(NOON, NOON)
    assert ">in 1 s<" in times.until(NOON + second, NOON)
    assert ">in 6 days<" in times.until(NOON + timedelta(days=7) - second, NOON)
    assert ">on 27 Nov<" in times.until(NOON + timedelta(days=7), NOON)
    assert ">on 1 Jan 2027<" in times.until(datetime(2027, 1, 1, tzinfo=UTC), NOON)
    assert ">20 Nov, 12:00<" in times.at(NOON, NOON)
    assert ">20 Nov 2026, 12:00<" in times.at(NOON, datetime(2027, 1, 1, tzinfo=UTC))
