"""The command that tries a Stripe key."""

from typing import Any

import pytest
from django.core.management import CommandError, call_command

pytestmark = pytest.mark.django_db


def test_it_tries_everything_that_is_needed(
    stripe_api: Any, catalogue: None, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("stripe_smoke_test")

    told = capsys.readouterr().out
    assert told.count("  ok  ") == 6
    assert stripe_api.refunds.list({}).data[0].amount == 1000


def test_it_refuses_a_live_key(settings: Any, catalogue: None) -> None:
    settings.STRIPE_SECRET_KEY = "sk_live_not_a_key"
    with pytest.raises(CommandError, match="live key"):
        call_command("stripe_smoke_test")
