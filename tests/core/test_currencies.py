"""Every currency of Stripe: amounts are read, shown, divided and refunded without losing a minor unit."""

import re
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import currencies
from core.templatetags.money import money
from sandbox.objects import amounts

ALL = sorted(currencies.SUPPORTED)


@pytest.mark.parametrize(
    ("currency", "decimals", "step"),
    [
        ("usd", 2, 1),
        ("jpy", 0, 1),
        ("mga", 0, 1),
        ("kwd", 3, 10),
        ("isk", 2, 100),
        ("ugx", 2, 100),
        ("huf", 2, 1),
    ],
)
def test_the_minor_unit_is_that_of_stripes_table(currency: str, decimals: int, step: int) -> None:
    assert (currencies.decimals(currency), currencies.step(currency)) == (decimals, step)


@pytest.mark.fault("P11")
@pytest.mark.parametrize(
    ("amount", "currency", "shown"),
    [
        (1050, "all", "ALL10.50"),  # CLDR shows no decimals of these, although Stripe counts them
        (1050, "huf", "HUF10.50"),
        (1050, "twd", "NT$10.50"),
        (500, "isk", "ISK5"),
        (500, "ugx", "UGX5"),
        (500, "mga", "MGA500"),
        (-500, "jpy", "-¥500"),
    ],
)
def test_money_shows_what_is_charged(amount: int, currency: str, shown: str) -> None:
    assert money(amount, currency).replace("\u00a0", "") == shown


@pytest.mark.parametrize("currency", ALL)
def test_the_sandbox_charges_what_the_product_takes_for_chargeable(currency: str) -> None:
    step, least, most = currencies.step(currency), currencies.minimum(currency), currencies.maximum(currency)
    assert step == amounts.step(currency)
    assert least <= amounts.minimum(currency)  # the sandbox converts currencies that Stripe does not list
    amounts.check(max(least, currencies.payable(amounts.minimum(currency) + step - 1, currency)), currency)
    amounts.check(most, currency)
    for refused in (most + step, least - step, least + step // 2 if step > 1 else 0):
        with pytest.raises(Exception, match=r"mount|must be greater"):
            amounts.check(refused, currency)


@given(currency=st.sampled_from(ALL), units=st.integers(0, 10**9), percent=st.integers(0, 100))
def test_what_is_shown_is_read_back_and_parts_are_payable(currency: str, units: int, percent: int) -> None:
    amount = units * currencies.step(currency)
    major = currencies.to_major(amount, currency)

    assert currencies.to_minor(major, currency) == amount
    digits = re.sub(r"[^0-9.]", "", re.sub(r"^[^0-9]*", "", money(amount, currency)))
    assert Decimal(digits) == major
    part = currencies.payable(amount * percent // 100, currency)
    assert part % currencies.step(currency) == 0 == (amount - part) % currencies.step(currency)
    assert 0 <= amount * percent // 100 - part < currencies.step(currency)


@pytest.mark.parametrize(
    ("text", "currency"), [("5.005", "usd"), ("5.5", "jpy"), ("5.124", "kwd"), ("5.5", "isk")]
)
def test_an_amount_that_cannot_be_charged_is_not_read(text: str, currency: str) -> None:
    assert currencies.to_minor(Decimal(text), currency) is None


@pytest.mark.fault("P11")
def test_the_smallest_and_largest_amounts_are_those_of_stripes_table() -> None:
    smallest = {
        50: "aud brl cad chf eur inr nzd sgd usd jpy",
        200: "aed myr pln ron",
        300: "nok sek",
        1000: "mxn thb",
        100: "bgn isk ugx",
        1500: "czk",
        250: "dkk",
        30: "gbp",
        400: "hkd",
        17500: "huf",
        10: "kwd bhd jod omr tnd",
        1: "krw vnd all twd",
    }
    for amount, codes in smallest.items():
        assert {code: currencies.minimum(code) for code in codes.split()} == dict.fromkeys(
            codes.split(), amount
        )
    largest = {
        "usd": 99_999_999,
        "krw": 99_999_999,
        "kwd": 99_999_990,
        "isk": 99_999_900,
        "inr": 999_999_999,
        "jpy": 9_999_999_999,
        "idr": 999_999_999_999,
        "cop": 999_999_999_999,
        "huf": 999_999_999_999,
        "lbp": 99_999_999_999_999,
    }
    assert {code: currencies.maximum(code) for code in largest} == largest


def test_codes_may_be_in_upper_case() -> None:
    facts = (
        currencies.decimals,
        currencies.decimals_shown,
        currencies.step,
        currencies.minimum,
        currencies.maximum,
    )
    for code in ("usd", "jpy", "kwd", "isk", "gbp"):
        assert [fact(code.upper()) for fact in facts] == [fact(code) for fact in facts]
    shown = {"usd": 2, "jpy": 0, "kwd": 3, "isk": 0, "ugx": 0, "huf": 2}
    assert {code: currencies.decimals_shown(code) for code in shown} == shown
