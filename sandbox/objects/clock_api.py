"""The API's doors to test clocks: create, advance, delete.

Invariant: a clock only moves forward, and everything of its customers that falls due on the way has
happened, in order, when it reports "ready".
"""

from sandbox import errors, store
from sandbox.calls import Call
from sandbox.objects import events, renewals
from sandbox.store import Body

LONGEST_SECONDS = 2 * 366 * 86400  # Stripe's own limit is two intervals; this is roomier and still ends


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


def list_clocks(call: Call) -> Body:
    return store.listing("test_helpers.test_clock", call, "/v1/test_helpers/test_clocks")


def delete(call: Call) -> Body:
    body = retrieve(call)
    gone = {"id": body["id"], "object": body["object"], "deleted": True}
    store.save(gone)
    events.record("test_helpers.test_clock.deleted", body, call)
    return gone


def advance(call: Call) -> Body:
    """Move the clock; renewals, retries and scheduled changes on the way happen before the answer."""
    return advance_to(retrieve(call), call.params["frozen_time"], call)


def advance_to(clock: Body, instant: int, call: Call) -> Body:
    """Move this clock to an instant (Unix seconds). Raises StripeError when that is not ahead, or too far."""
    if not clock["frozen_time"] < instant <= clock["frozen_time"] + LONGEST_SECONDS:
        raise errors.StripeError(
            "frozen_time must be after the clock's current time and not too far ahead.", param="frozen_time"
        )
    for moment in renewals.run_until(clock["id"], instant, call):
        clock["frozen_time"] = moment
        store.save(clock)
    clock["frozen_time"] = instant
    store.save(clock)
    events.record("test_helpers.test_clock.ready", clock, call)
    return clock
