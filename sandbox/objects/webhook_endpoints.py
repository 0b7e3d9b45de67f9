"""Webhook endpoints that somebody registered through the API, beside the product's own.

Invariant: the signing secret is shown once, in the answer to the creation.
"""

from sandbox import errors, store
from sandbox.calls import Call
from sandbox.objects import customers
from sandbox.store import Body


def create(call: Call) -> Body:
    given = call.params
    if not given["url"].startswith(("http://", "https://")):
        raise errors.StripeError(
            "Invalid URL: An explicit scheme (such as https) must be provided.",
            param="url",
            code="url_invalid",
        )
    secret = f"whsec_{store.random_text(32)}"
    body = {
        "id": store.new_id("webhook_endpoint"),
        "object": "webhook_endpoint",
        "_secret": secret,
        "api_version": given.get("api_version"),
        "application": None,
        "created": call.now,
        "description": given.get("description") or None,
        "enabled_events": given["enabled_events"],
        "livemode": False,
        "metadata": {},
        "status": "enabled",
        "url": given["url"],
    }
    customers.merge_metadata(body, given.get("metadata") or {})
    store.add(body)
    return body | {"secret": secret}


def retrieve(call: Call) -> Body:
    return store.get("webhook_endpoint", call.ids["webhook_endpoint"])


def list_endpoints(call: Call) -> Body:
    return store.listing("webhook_endpoint", call, "/v1/webhook_endpoints")


def update(call: Call) -> Body:
    body = retrieve(call)
    for name in ("url", "enabled_events", "description"):
        if name in call.params:
            body[name] = call.params[name]
    if "disabled" in call.params:
        body["status"] = "disabled" if call.params["disabled"] else "enabled"
    if "metadata" in call.params:
        customers.merge_metadata(body, call.params["metadata"])
    return store.save(body)


def delete(call: Call) -> Body:
    body = retrieve(call)
    return store.save({"id": body["id"], "object": "webhook_endpoint", "deleted": True})
