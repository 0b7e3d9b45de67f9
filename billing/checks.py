"""System checks of billing's settings, run by `manage.py check` and before every other command."""

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core import checks
from django.core.exceptions import ImproperlyConfigured

from billing import ledger


@checks.register
def signing_keys(app_configs: Any, **options: Any) -> Sequence[checks.CheckMessage]:
    """The keys of the ledger's checkpoints can be read; in production the signing key is set."""
    try:
        ledger.checkpoints.published_keys()
    except ImproperlyConfigured as error:
        return [checks.Error(str(error), id="billing.E001")]
    if settings.PRODUCTION and not settings.LEDGER_SIGNING_KEY:
        message = "LEDGER_SIGNING_KEY is not set: checkpoints are signed with a key derived from SECRET_KEY"
        hint = "Set it to the output of `openssl rand -base64 32` before SECRET_KEY is rotated."
        return [checks.Warning(message, hint=hint, id="billing.W001")]
    return []
