"""The checks of billing's settings name what is missing or cannot be read."""

import base64
from typing import Any

from billing import checks

KEY = base64.b64encode(b"k" * 32).decode()


def test_production_without_a_signing_key_is_warned(settings: Any) -> None:
    settings.PRODUCTION = True
    assert [message.id for message in checks.signing_keys(None)] == ["billing.W001"]
    settings.LEDGER_SIGNING_KEY = KEY
    assert checks.signing_keys(None) == []


def test_development_needs_no_key(settings: Any) -> None:
    assert checks.signing_keys(None) == []


def test_a_key_that_cannot_be_read_is_an_error(settings: Any) -> None:
    settings.LEDGER_SIGNING_KEY = "not a key"
    (message,) = checks.signing_keys(None)
    assert message.id == "billing.E001" and "LEDGER_SIGNING_KEY" in str(message)
    settings.LEDGER_SIGNING_KEY, settings.LEDGER_OLD_PUBLIC_KEYS = KEY, [KEY[:-4]]
    (message,) = checks.signing_keys(None)
    assert "LEDGER_OLD_PUBLIC_KEYS" in str(message)
