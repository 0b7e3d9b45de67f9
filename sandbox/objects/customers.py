"""Customers: contact details, metadata and the default payment method.

Invariant: the default payment method is attached to the customer. https://docs.stripe.com/api/customers
"""

import re
from typing import Any

from sandbox import errors, store
from sandbox.calls import Call
from sandbox.objects import clocks, customer_balances, events, subscription_states
from sandbox.store import Body

METADATA_QUERY = re.compile(r"metadata\['([^']+)'\]:'([^']+)'")
DELETED = "customer.deleted"  # the kind under which a deleted customer is stored
NO_ADDRESS = {"city": None, "country": None, "line1": None, "line2": None, "postal_code": None, "state": None}


def create(call: Call) -> Body:
    params = call.params
    if clock := params.get("test_clock"):
        call = call.at(store.get("test_helpers.test_clock", clock, "test_clock")["frozen_time"])
    body: Body = {
        "id": store.new_id("customer"),
        "object": "customer",
        "address": None,
        "balance": 0,
        "created": call.now,
        "currency": None,
        "customer_account": None,
        "default_source": None,
        "delinquent": False,
        "description": None,
        "discount": None,
        "email": None,
        "invoice_prefix": store.random_text(8).upper(),
        "invoice_settings": {
            "custom_fields": None,
            "default_payment_method": None,
            "footer": None,
            "rendering_options": None,
        },
        "livemode": False,
        "metadata": {},
        "name": None,
        "next_invoice_sequence": 1,
        "phone": None,
        "preferred_locales": [],
        "shipping": None,
        "tax_exempt": "none",
        "test_clock": params.get("test_clock"),
    }
    _apply(body, params)
    store.add(body)
    events.record("customer.created", body, call)
    return body


def _apply(body: Body, params: dict[str, Any]) -> None:
    for name in ("email", "name"):
        if name in params:
            body[name] = params[name] or None
    if "address" in params:
        body["address"] = NO_ADDRESS | params["address"] if params["address"] else None
    if "metadata" in params:
        store.merge_metadata(body, params["metadata"])
    settings = params.get("invoice_settings") or {}
    if "default_payment_method" in settings:
        _set_default(body, settings["default_payment_method"])


def _set_default(body: Body, method_id: str) -> None:
    param = "invoice_settings[default_payment_method]"
    if method_id and store.get("payment_method", method_id, param)["customer"] != body["id"]:
        raise errors.StripeError(
            f"The customer does not have a payment method with the ID {method_id}.",
            code="resource_missing",
            param=param,
        )
    body["invoice_settings"]["default_payment_method"] = method_id or None


def retrieve(call: Call) -> Body:
    return store.find(DELETED, call.ids["customer"]) or store.get("customer", call.ids["customer"])


def delete(call: Call) -> Body:
    """Delete a customer for good: subscriptions end at once, later requests have "No such customer".

    Retrieving it answers with `deleted: true`. https://docs.stripe.com/api/customers/delete
    """
    body = store.get("customer", call.ids["customer"])
    call = clocks.of_customer(call, body)
    for subscription in store.where("subscription", customer=body["id"]):
        if subscription["status"] not in subscription_states.ENDED:
            subscription_states.end(subscription, call, reason="cancellation_requested")
    events.record("customer.deleted", body, call)
    return store.replace(body["id"], DELETED, {"id": body["id"], "object": "customer", "deleted": True})


def search(call: Call) -> Body:
    """Customers with one value of metadata, newest first; found at once, not after about a minute.

    https://docs.stripe.com/search
    """
    found = METADATA_QUERY.fullmatch(call.params["query"])
    if found is None:
        raise errors.unsupported("The sandbox searches one field of metadata only.", param="query")
    rows = [body for body in store.where("customer") if body["metadata"].get(found[1]) == found[2]]
    limit = call.params.get("limit", 10)
    return {
        "object": "search_result",
        "url": "/v1/customers/search",
        "has_more": len(rows) > limit,
        "next_page": None,
        "data": rows[:limit],
    }


def update(call: Call) -> Body:
    body = store.get("customer", call.ids["customer"])
    call = clocks.of_customer(call, body)
    before = body | {"invoice_settings": dict(body["invoice_settings"])}
    _apply(body, call.params)
    if "balance" in call.params:
        added = call.params["balance"] - body["balance"]
        customer_balances.record(body, added, call, currency=body["currency"] or "usd")
    store.save(body)
    changed = {name: value for name, value in before.items() if body[name] != value}
    if changed:
        events.record("customer.updated", body, call, changed)
    return body


def set_default_payment_method(customer_id: str, method_id: str, call: Call) -> Body:
    """Make an attached payment method the customer's default, as the customer portal does.

    A subscription's own default keeps its precedence. Stripe's pages name `customer.updated` as the result of
    a new default in the portal and leave open whether subscriptions follow, so they do not here.
    https://docs.stripe.com/customer-management/integrate-customer-portal#webhooks
    """
    customer = store.get("customer", customer_id)
    method = store.get("payment_method", method_id)
    previous = dict(customer["invoice_settings"])
    if method["customer"] == customer_id and previous["default_payment_method"] != method_id:
        customer["invoice_settings"]["default_payment_method"] = method_id
        store.save(customer)
        events.record("customer.updated", customer, call, {"invoice_settings": previous})
    return customer
