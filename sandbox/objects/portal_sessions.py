"""Customer portal sessions: a link to the page where a customer manages cards, subscription and invoices.

Invariant: the page needs no login other than the link, which is valid for one day.
https://docs.stripe.com/customer-management
"""

from django.conf import settings

from sandbox import store
from sandbox.calls import Call
from sandbox.objects import clocks
from sandbox.store import Body

VALID_SECONDS = 24 * 3600


def create(call: Call) -> Body:
    customer = store.get("customer", call.params.get("customer", ""), "customer")
    session_id = store.new_id("billing_portal.session")
    body = {
        "id": session_id,
        "object": "billing_portal.session",
        "configuration": "bpc_1RefillSandbox0000000000",
        "created": call.now,
        "customer": customer["id"],
        "customer_account": None,
        "flow": None,
        "livemode": False,
        "locale": call.params.get("locale"),
        "on_behalf_of": None,
        "return_url": call.params.get("return_url"),
        "url": f"{settings.SITE_URL}/sandbox/portal/{session_id}",
    }
    return store.add(body)


def usable(session_id: str, call: Call) -> tuple[Body, Body, Call] | None:
    """(session, customer, call at the time of the customer's clock); None for an unknown or expired link."""
    session = store.find("billing_portal.session", session_id)
    if session is None or session["created"] + VALID_SECONDS < call.now:
        return None
    customer = store.get("customer", session["customer"])
    return session, customer, clocks.of_customer(call, customer)
