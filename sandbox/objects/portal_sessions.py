"""Customer portal sessions: a link to the hosted page where a customer manages card, plan and invoices.

Invariant: the link's id is the only key to the page; it works for a day.
"""

from django.conf import settings

from sandbox import store
from sandbox.calls import Call
from sandbox.objects import clocks
from sandbox.store import Body

WORKS_FOR = 24 * 3600


def create(call: Call) -> Body:
    given = call.params
    customer = store.get("customer", given.get("customer", ""), "customer")
    session_id = store.new_id("billing_portal.session")
    flow = given.get("flow_data")
    body = {
        "id": session_id,
        "object": "billing_portal.session",
        "configuration": "bpc_1RefillSandbox0000000000",
        "created": call.now,
        "customer": customer["id"],
        "customer_account": None,
        "flow": _flow(flow) if flow else None,
        "livemode": False,
        "locale": given.get("locale"),
        "on_behalf_of": None,
        "return_url": given.get("return_url"),
        "url": f"{settings.SITE_URL}/sandbox/portal/{session_id}",
    }
    return store.add(body)


def _flow(given: Body) -> Body:
    after = given.get("after_completion") or {"type": "portal_homepage"}
    names = ("subscription_cancel", "subscription_update", "subscription_update_confirm")
    completion = {
        "hosted_confirmation": after.get("hosted_confirmation"),
        "redirect": after.get("redirect"),
        "type": after["type"],
    }
    return {"after_completion": completion, "type": given["type"]} | {name: given.get(name) for name in names}


def usable(session_id: str, call: Call) -> tuple[Body, Body, Call] | None:
    """(session, customer, call at the customer's instant), or None when the link is unknown or too old."""
    session = store.find("billing_portal.session", session_id)
    if session is None or session["created"] + WORKS_FOR < call.now:
        return None
    customer = store.get("customer", session["customer"])
    return session, customer, clocks.of_customer(call, customer)
