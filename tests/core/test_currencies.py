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
