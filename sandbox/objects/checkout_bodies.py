"""The shape of a fresh Checkout Session."""

import copy

from django.conf import settings

from sandbox import store
from sandbox.calls import Call
from sandbox.objects import defaults
from sandbox.store import Body


def blank(call: Call, mode: str, currency: str) -> Body:
    """An open session that sells nothing yet; `currency` counts for payments and subscriptions."""
    session_id = store.new_id("checkout.session")
    return copy.deepcopy(defaults.CHECKOUT_SESSION) | {
        "id": session_id,
        "created": call.now,
        "currency": None if mode == "setup" else currency,
        "mode": mode,
        "payment_method_collection": "always" if mode == "subscription" else None,
        "payment_status": "no_payment_required" if mode == "setup" else "unpaid",
        "url": f"{settings.SITE_URL}/sandbox/checkout/{session_id}",
    }
