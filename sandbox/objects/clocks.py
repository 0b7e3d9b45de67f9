"""Test clocks: the time at which a customer's objects are created, renewed and ended.

Invariant: a clock moves forward only (sandbox.objects.renewals.advance), and everything done for a customer
of a clock happens at the clock's time. https://docs.stripe.com/billing/testing/test-clocks
"""

from sandbox import store
from sandbox.calls import Call
from sandbox.objects import events
from sandbox.store import Body


def create(call: Call) -> Body:
    body = {
        "id": store.new_id("test_helpers.test_clock"),
        "object": "test_helpers.test_clock",
        "created": call.now,
        "deletes_after": call.now + 30 * 86400,
        "frozen_time": call.params["frozen_time"],
        "livemode": False,
        "name": call.params.get("name"),
        "status": "ready",
        "status_details": {},
    }
    store.add(body)
    events.record("test_helpers.test_clock.created", body, call)
    return body


def retrieve(call: Call) -> Body:
    return store.get("test_helpers.test_clock", call.ids["test_clock"])


def of_customer(call: Call, customer: Body | str | None) -> Call:
    """The call at the time of the customer's clock; unchanged when the customer has no clock."""
    body = store.find("customer", customer) if isinstance(customer, str) else customer
    clock = store.find("test_helpers.test_clock", body.get("test_clock")) if body else None
    return call.at(clock["frozen_time"]) if clock else call


def ensure(customer_id: str, call: Call) -> Body:
    """The clock of a customer; created now, and set on the customer's objects, when there is none."""
    customer = store.get("customer", customer_id)
    if clock := store.find("test_helpers.test_clock", customer["test_clock"]):
        return clock
    clock = create(call.with_params(frozen_time=call.now, name=customer["email"]))
    customer["test_clock"] = clock["id"]
    store.save(customer)
    for kind in ("subscription", "invoice"):
        for body in store.where(kind, customer=customer_id):
            body["test_clock"] = clock["id"]
            store.save(body)
    return clock
