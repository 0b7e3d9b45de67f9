"""System checks of billing's settings, run by `manage.py check` and before every other command."""

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError

from billing import ledger
from billing.models import Reconciliation


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


@checks.register(checks.Tags.database)
def stripe_mode(app_configs: Any, databases: Sequence[str] | None = None, **options: Any) -> list[Any]:
    """The secret key is of the mode of Stripe that the database's customers and subscriptions are in."""
    if not databases or not settings.STRIPE_SECRET_KEY:
        return []
    try:
        reports = Reconciliation.objects.exclude(stripe_account="").order_by("-until")
        previous = reports.values_list("stripe_account", flat=True).first() or ""
    except DatabaseError:  # the tables are created by the migration that follows
        return []
    live = settings.STRIPE_SECRET_KEY.startswith(("sk_live_", "rk_live_"))
    if previous.endswith("/live") and not live:
        message = f"The database belongs to {previous}, and STRIPE_SECRET_KEY is a key of test mode"
        hint = "Set a live key, or another DATABASE_URL. To leave the live account: adopt_stripe_account."
        return [checks.Warning(message, hint=hint, id="billing.W002")]
    if previous.endswith("/test") and live:
        message = f"The database was used with {previous}, and STRIPE_SECRET_KEY is a live key"
        hint = (
            "Plans paid in test mode end, and credits bought with test cards stay: begin with an empty"
            " database, or take them back in the admin."
        )
        return [checks.Warning(message, hint=hint, id="billing.W003")]
    return []
