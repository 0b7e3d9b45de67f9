"""The Stripe account and mode of the configured secret key.

Invariant: ids of customers, prices and subscriptions are valid in one account and mode only
(https://docs.stripe.com/keys#test-live-modes), so they are stored with what `current_account` returns.
"""

from functools import lru_cache

from django.conf import settings

from billing.stripe_gateway.client import AccessRefused, call

UNKNOWN_ACCOUNT = "unknown"


def current_account() -> str:
    """ "acct_…/live" or "acct_…/test"; "unknown/…" when the key may not read its account.

    The account is STRIPE_ACCOUNT, or retrieved once by each process. Raises StripeError.
    """
    mode = "live" if settings.STRIPE_SECRET_KEY.startswith(("sk_live_", "rk_live_")) else "test"
    account = settings.STRIPE_ACCOUNT or _account_id(settings.STRIPE_SECRET_KEY, settings.STRIPE_API_BASE)
    return f"{account}/{mode}"


def account_of_key() -> str:
    """The account that Stripe names for the secret key; UNKNOWN_ACCOUNT where the key may not read it.

    Raises StripeError.
    """
    return _account_id(settings.STRIPE_SECRET_KEY, settings.STRIPE_API_BASE)


@lru_cache(maxsize=8)
def _account_id(secret_key: str, base: str) -> str:
    """https://docs.stripe.com/api/accounts/retrieve"""
    try:
        return str(call(lambda v1: v1.accounts.retrieve_current())["id"])
    except AccessRefused as error:
        if not error.permission:
            raise  # the key itself is invalid
        return UNKNOWN_ACCOUNT
