"""Customers: who pays; their address, their default card, their balance for invoices.

Invariant: a deleted customer keeps only its id; its subscriptions end with it.
"""

from typing import Any

from sandbox import errors, store
from sandbox.calls import Call
from sandbox.objects import clocks, events, payment_methods, subscription_states
from sandbox.store import Body

PLAIN = (
    "email",
    "name",
    "phone",
    "description",
    "preferred_locales",
    "tax_exempt",
    "balance",
    "address",
    "shipping",
)
NO_ADDRESS = {"city": None, "country": None, "line1": None, "line2": None, "postal_code": None, "state": None}


def create(call: Call) -> Body:
    if clock := call.params.get("test_clock"):
        call = call.at(store.get("test_helpers.test_clock", clock, "test_clock")["frozen_time"])
    return new(call, **call.params)


def new(call: Call, **given: Any) -> Body:
    """A customer; `given` are the parameters of Stripe's customers.create."""
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
        "test_clock": given.get("test_clock"),
    }
    _apply(body, given, call)
    store.add(body)
    events.record("customer.created", body, call)
    return body


def _apply(body: Body, given: dict[str, Any], call: Call) -> None:
    empty = {"preferred_locales": [], "tax_exempt": "none", "balance": 0}
    for name in PLAIN:
        if name in given:
            body[name] = given[name] or empty.get(name)
    if isinstance(body["address"], dict):
        body["address"] = NO_ADDRESS | body["address"]
    if "metadata" in given:
        merge_metadata(body, given["metadata"])
    if method := given.get("payment_method"):
        payment_methods.attach(payment_methods.usable(method, call), body["id"], call)
    _apply_invoice_settings(body, given.get("invoice_settings") or {})


def _apply_invoice_settings(body: Body, given: dict[str, Any]) -> None:
    for name in ("footer", "custom_fields", "rendering_options", "default_payment_method"):
        if name in given:
            body["invoice_settings"][name] = given[name] or None
    param = "invoice_settings[default_payment_method]"
    chosen = body["invoice_settings"]["default_payment_method"]
    if chosen and store.get("payment_method", chosen, param)["customer"] != body["id"]:
        raise errors.StripeError(
            f"The customer does not have a payment method with the ID {chosen}.",
            code="resource_missing",
            param=param,
        )


def merge_metadata(body: Body, given: Any) -> None:
    """Stripe's rule: keys are merged, an empty value removes its key, an empty string removes all."""
    if not isinstance(given, dict):
        body["metadata"] = {}
        return
    merged = (body.get("metadata") or {}) | given
    body["metadata"] = {key: value for key, value in merged.items() if value != ""}


def retrieve(call: Call) -> Body:
    body = store.find("customer", call.ids["customer"])
    if body is None:
        raise errors.unknown_object("customer", call.ids["customer"])
    return body


def list_customers(call: Call) -> Body:
    return store.listing(
        "customer",
        call,
        "/v1/customers",
        email=call.params.get("email"),
        test_clock=call.params.get("test_clock"),
    )


def update(call: Call) -> Body:
    body = store.get("customer", call.ids["customer"])
    call = clocks.of_customer(call, body)
    before = {name: body[name] for name in body}
    before["invoice_settings"] = dict(body["invoice_settings"])
    _apply(body, call.params, call)
    store.save(body)
    changed = {name: value for name, value in before.items() if body[name] != value}
    if changed:
        events.record("customer.updated", body, call, changed)
    return body


def delete(call: Call) -> Body:
    """Cancel the customer's subscriptions at once, then forget the person."""
    body = store.get("customer", call.ids["customer"])
    for subscription in store.where("subscription", customer=body["id"]):
        if subscription["status"] not in subscription_states.OVER:
            subscription_states.end(
                subscription, clocks.of_customer(call, body), reason="cancellation_requested"
            )
    events.record("customer.deleted", body, call)
    gone = {"id": body["id"], "object": "customer", "deleted": True}
    store.save(gone)
    return gone
