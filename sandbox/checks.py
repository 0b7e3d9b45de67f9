"""The system check that keeps the sandbox away from real payments.

Invariant: the process does not start when the sandbox is installed beside a live Stripe key, in production
mode, or while the product uses Stripe's own API address.
"""

from typing import Any

from django.conf import settings
from django.core import checks

LIVE_PREFIXES = ("sk_live_", "rk_live_", "pk_live_")


@checks.register(checks.Tags.security)
def sandbox_is_isolated(app_configs: Any, **kwargs: Any) -> list[checks.CheckMessage]:
    """Errors that name the setting to change; empty when the sandbox may run."""
    found: list[checks.CheckMessage] = []
    for name in ("STRIPE_SECRET_KEY", "STRIPE_PUBLISHABLE_KEY"):
        if str(getattr(settings, name, "")).startswith(LIVE_PREFIXES):
            found.append(
                checks.Error(
                    f"The sandbox is installed beside a live key in {name}.",
                    hint="Use either the sandbox (without STRIPE_SECRET_KEY) or Stripe itself.",
                    id="sandbox.E001",
                )
            )
    if settings.PRODUCTION:
        found.append(
            checks.Error(
                "The sandbox is installed in production mode.",
                hint="Set STRIPE_SECRET_KEY, or REFILL_ENV to something other than production.",
                id="sandbox.E002",
            )
        )
    if "/sandbox/" not in f"{settings.STRIPE_API_BASE}/":
        found.append(
            checks.Error(
                "The sandbox is installed, but STRIPE_API_BASE is another address.",
                hint="Remove STRIPE_API_BASE: it is derived from SITE_URL.",
                id="sandbox.E003",
            )
        )
    return found
