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
