"""The command that checks Stripe with a test key; here the sandbox answers."""

from typing import Any

import pytest
from django.core.management import CommandError, call_command

from billing.stripe_smoke import checks
from sandbox import store, switches
from sandbox.switches import Fault

pytestmark = pytest.mark.django_db


def test_the_sandbox_does_what_is_expected_of_stripe_in_every_step(
    stripe_api: Any, catalogue: None, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("stripe_smoke")

    output = capsys.readouterr().out
    assert [name for name in checks.STEPS if f"ok      {name}:" not in output] == []
    assert "DIFFERS" not in output
    assert store.where("test_helpers.test_clock") == []
    assert store.where("customer") == []
    assert {body["status"] for body in store.where("subscription")} == {"canceled"}


def test_it_prints_what_differs_goes_on_and_fails(
    stripe_api: Any, catalogue: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "IBAN", "no iban")
    switches.turn(Fault.CARDS_FAIL, remaining=1)

    with pytest.raises(CommandError, match="differ"):
        call_command("stripe_smoke")

    output = capsys.readouterr().out
    assert "DIFFERS pack: Stripe's answer" in output
    assert "actual   CardDeclined" in output
    assert "ok      automatic top-up: saved card" in output
    assert store.where("test_helpers.test_clock") == []


@pytest.mark.parametrize("key", ["sk_live_not_a_key", "rk_live_not_a_key", ""])
def test_it_refuses_what_is_not_a_test_key(settings: Any, catalogue: None, key: str) -> None:
    settings.STRIPE_SECRET_KEY = key
    with pytest.raises(CommandError, match="not a test key"):
        call_command("stripe_smoke")
