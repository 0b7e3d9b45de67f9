"""The system check that keeps the sandbox away from real money.

Invariant: the process refuses to start when the sandbox is installed beside a live Stripe key, in production
mode, or while the product talks to the real Stripe.
"""

from typing import Any

from django.conf import settings
from django.core import checks

LIVE_PREFIXES = ("sk_live_", "rk_live_", "pk_live_")


@checks.register(checks.Tags.security)
def sandbox_stands_alone(app_configs: Any, **kwargs: Any) -> list[checks.CheckMessage]:
    """Errors that name the setting to change; empty when the sandbox may run here."""
    found: list[checks.CheckMessage] = []
    for name in ("STRIPE_SECRET_KEY", "STRIPE_PUBLISHABLE_KEY"):
        if str(getattr(settings, name, "")).startswith(LIVE_PREFIXES):
            found.append(
                checks.Error(
                    f"The sandbox is installed beside a live key in {name}.",
                    hint="Use either the sandbox (no STRIPE_SECRET_KEY at all) or the real Stripe.",
                    id="sandbox.E001",
                )
            )
    if settings.PRODUCTION:
        found.append(
            checks.Error(
                "The sandbox is installed in production mode.",
                hint="Set STRIPE_SECRET_KEY, or REFILL_ENV=development.",
                id="sandbox.E002",
            )
        )
    if "/sandbox/" not in f"{settings.STRIPE_API_BASE}/":
        found.append(
            checks.Error(
                "The sandbox is installed, but STRIPE_API_BASE points elsewhere.",
                hint="Leave STRIPE_API_BASE alone: it follows from SITE_URL.",
                id="sandbox.E003",
            )
        )
    return found
