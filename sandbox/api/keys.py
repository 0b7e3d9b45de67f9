"""Secret keys: the Stripe account and mode that a key opens, and what a restricted key may not do.

Keys of the sandbox are `sk_test_sandbox`, `sk_live_sandbox` (live mode of the same account),
`sk_test_sandbox2` (another account), `…_expired`, and restricted keys such as
`rk_test_sandbox_without_customer_write`. https://docs.stripe.com/keys, https://docs.stripe.com/api/authentication
"""

import re
from typing import NamedTuple

from sandbox import errors

_KEY = re.compile(
    r"(?P<kind>sk|rk)_(?P<mode>test|live)_sandbox(?P<number>\d*)(?P<expired>_expired)?"
    r"(?:_without_(?P<denied>[a-z_]+))?"
)
# The permissions by the first part of an endpoint's path: https://docs.stripe.com/keys/restricted-api-keys
_PERMISSIONS = {
    "account": "accounts_kyc_basic",
    "billing_portal": "customer_portal",
    "charges": "charge",
    "checkout": "checkout_session",
    "customers": "customer",
    "disputes": "dispute",
    "events": "event",
    "invoices": "invoice",
    "payment_intents": "payment_intent",
    "payment_methods": "payment_method",
    "prices": "plan",
    "refunds": "charge",
    "setup_intents": "setup_intent",
    "subscriptions": "subscription",
}


class Key(NamedTuple):
    account: str  # acct_…
    live: bool
    denied: str  # a permission that a restricted key does not have

    @property
    def environment(self) -> str:
        """The account and mode to which objects belong."""
        return f"{self.account}/{'live' if self.live else 'test'}"


def parse(key: str) -> Key | None:
    """The sandbox's key; None for any other text, and for an expired one."""
    match = _KEY.fullmatch(key)
    if match is None or match["expired"]:
        return None
    return Key(f"acct_sandbox{match['number']}", match["mode"] == "live", match["denied"] or "")


def authenticate(key: str) -> Key:
    """Raises StripeError 401 for a missing, invalid or expired key."""
    found = parse(key)
    if found is not None:
        return found
    if not key:
        raise errors.StripeError("You did not provide an API key.", status=401)
    shown = f"{key[:8]}****{key[-4:]}"
    if (match := _KEY.fullmatch(key)) and match["expired"]:
        raise errors.StripeError(f"Expired API Key provided: {shown}", status=401, code="api_key_expired")
    raise errors.StripeError(f"Invalid API Key provided: {shown}", status=401)


def require_permission(key: Key, method: str, path: str) -> None:
    """Raises StripeError 403, naming the missing permission, for a request that the key may not make."""
    name = _PERMISSIONS.get(path.split("/")[2], "")
    needed = f"{name}_{'read' if method == 'get' else 'write'}"
    if name and needed == key.denied:
        raise errors.StripeError(
            f"The provided key 'rk_{'live' if key.live else 'test'}_****' does not have the required"
            f" permissions for this endpoint on account '{key.account}'. Having the 'rak_{needed}' permission"
            " would allow this request to continue.",
            status=403,
        )
