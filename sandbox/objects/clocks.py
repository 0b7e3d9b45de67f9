"""Test clocks: customers who live at another instant than the rest of the world.

Invariant: whatever is done for a customer on a clock carries the instant of the clock.
"""

from sandbox import store
from sandbox.calls import Call
from sandbox.store import Body


def of_customer(call: Call, customer: Body | str | None) -> Call:
    """The call at the instant of the customer's clock, or unchanged when the customer has none."""
    body = store.find("customer", customer) if isinstance(customer, str) else customer
    clock = store.find("test_helpers.test_clock", body.get("test_clock")) if body else None
    return call.at(clock["frozen_time"]) if clock else call
