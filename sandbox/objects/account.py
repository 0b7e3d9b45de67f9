"""The Stripe account that the sandbox pretends to be."""

from sandbox.calls import Call
from sandbox.store import Body

ACCOUNT_ID = "acct_1RefillSandbox000"


def retrieve(call: Call) -> Body:
    return {
        "id": ACCOUNT_ID,
        "object": "account",
        "business_type": "company",
        "charges_enabled": True,
        "country": "US",
        "created": 1_700_000_000,
        "default_currency": "usd",
        "details_submitted": True,
        "email": "sandbox@example.org",
        "metadata": {},
        "payouts_enabled": True,
        "settings": None,
        "type": "standard",
    }
