"""The Stripe account that a key belongs to. https://docs.stripe.com/api/accounts/object"""

from sandbox import store
from sandbox.calls import Call
from sandbox.store import Body


def retrieve_current(call: Call) -> Body:
    account, _mode = store.environment().split("/")
    return {
        "id": account,
        "object": "account",
        "business_profile": None,
        "business_type": None,
        "charges_enabled": True,
        "country": "US",
        "created": 1_700_000_000,
        "default_currency": "usd",
        "details_submitted": True,
        "email": None,
        "metadata": {},
        "payouts_enabled": True,
        "settings": None,
        "type": "standard",
    }
