"""The payment methods of packs and plans by currency, and those that Stripe's sandbox accepts."""

from typing import Any

import pytest
from django.core.management import call_command

from pricing.catalogue import payment_methods
from sandbox.objects import payment_methods as sandbox_methods

pytestmark = [pytest.mark.django_db, pytest.mark.requirement("APIN-03")]


def test_methods_come_from_the_offer_else_from_the_policies(write: Any) -> None:
    path = write(
        (
            'payment_methods = ["card"]',
            'payment_methods = ["card", "alipay"]\npayment_methods_in = { eur = ["sepa_debit"] }',
        ),
        ("credits = 100\n", 'credits = 100\npayment_methods = { usd = ["wechat_pay"] }\n'),
        ("rank = 1\n", 'rank = 1\npayment_methods = { eur = ["card", "sepa_debit"] }\n'),
    )
    call_command("load_catalogue", str(path), verbosity=0)

    assert payment_methods.of_pack("small", "usd") == ["wechat_pay"]
    assert payment_methods.of_pack("small", "eur") == ["sepa_debit"]
    assert payment_methods.of_packs("usd") == ["card", "alipay"]
    assert payment_methods.of_plan("paid", "eur") == ["card", "sepa_debit"]
    assert payment_methods.of_plan("paid", "usd") == ["card"]


def test_a_currency_that_was_taken_from_the_catalogue_is_paid_by_what_stripe_has_in_it(write: Any) -> None:
    for methods, in_swedish_krona in (
        ('["customer_balance", "card", "wechat_pay"]', ["card", "wechat_pay"]),
        ('["customer_balance"]', ["card"]),
    ):
        path = write(('payment_methods = ["card"]', f"payment_methods = {methods}"))
        call_command("load_catalogue", str(path), verbosity=0)
        assert payment_methods.of_pack("small", "sek") == in_swedish_krona


def test_bank_transfers_of_apinfer_are_in_a_currency_that_has_them() -> None:
    call_command("load_catalogue", "apinfer", verbosity=0)
    assert "customer_balance" in payment_methods.of_pack("basic", "usd")
    assert "customer_balance" not in payment_methods.of_pack("basic", "cny")
    assert {"alipay", "wechat_pay"} < set(payment_methods.of_pack("basic", "cny"))


def test_the_sandbox_accepts_the_same_methods() -> None:
    assert {
        method: currencies and frozenset(currencies)
        for method, currencies in sandbox_methods.CURRENCIES.items()
    } == payment_methods.CURRENCIES
    assert set(sandbox_methods.REUSABLE) == payment_methods.OF_SUBSCRIPTIONS
