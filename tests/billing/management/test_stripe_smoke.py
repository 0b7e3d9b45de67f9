"""The command that checks a Stripe test key."""

from typing import Any

import pytest
from django.core.management import CommandError, call_command

pytestmark = pytest.mark.django_db


def test_it_checks_every_step(stripe_api: Any, catalogue: None, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("stripe_smoke_test")

    output = capsys.readouterr().out
    assert output.count("  ok  ") == 6
    assert stripe_api.refunds.list({}).data[0].amount == 1000


def test_it_refuses_a_live_key(settings: Any, catalogue: None) -> None:
    settings.STRIPE_SECRET_KEY = "sk_live_not_a_key"
    with pytest.raises(CommandError, match="live key"):
        call_command("stripe_smoke_test")
