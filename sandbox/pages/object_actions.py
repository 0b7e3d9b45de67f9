"""The buttons on an object's page: what may be done to it from outside, as a bank or the passing of time
would.

Invariant: only what is offered for the object's kind and state is done.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from django.utils.translation import gettext_lazy as _

from sandbox import store
from sandbox.calls import Call
from sandbox.objects import (
    checkout_sessions,
    clock_api,
    clocks,
    disputes,
    outcomes,
    refunds,
    subscription_states,
)
from sandbox.store import Body

DAY, MONTH = 86400, 31 * 86400


class Action(NamedTuple):
    name: str
    label: Any  # translated when it is shown
    possible: Callable[[Body], bool]
    perform: Callable[[Body, Call], object]


def _pending(intent: Body) -> bool:
    kind = (intent["next_action"] or {}).get("type")
    return intent["status"] == "processing" or kind == "display_bank_transfer_instructions"


def _refund(charge: Body, call: Call) -> None:
    refunds.create(call.asking(charge=charge["id"]))


def _renew(subscription: Body, call: Call) -> None:
    """Move the customer's clock to the period's end (the customer gets a clock if there is none)."""
    clock = _clock_of(subscription["customer"], call)
    end = min(item["current_period_end"] for item in subscription["items"]["data"])
    clock_api.advance_to(clock, max(end, clock["frozen_time"] + 1), call)


def _clock_of(customer_id: str, call: Call) -> Body:
    customer = store.get("customer", customer_id)
    if clock := store.find("test_helpers.test_clock", customer["test_clock"]):
        return clock
    clock = clock_api.create(call.asking(frozen_time=call.now, name=customer["email"]))
    customer["test_clock"] = clock["id"]
    store.save(customer)
    for kind in ("subscription", "invoice"):
        for body in store.where(kind, customer=customer_id):
            body["test_clock"] = clock["id"]
            store.save(body)
    return clock


def _retry(invoice: Body, call: Call) -> None:
    clock = _clock_of(invoice["customer"], call)
    clock_api.advance_to(clock, max(invoice["next_payment_attempt"], clock["frozen_time"] + 1), call)


def _open_dispute(dispute: Body) -> bool:
    return dispute["status"] in disputes.OPEN


ACTIONS: dict[str, tuple[Action, ...]] = {
    "payment_intent": (
        Action(
            "settle",
            _("The money arrives"),
            _pending,
            lambda body, call: outcomes.settle(body, call, succeeded=True),
        ),
        Action(
            "fail",
            _("The payment fails"),
            _pending,
            lambda body, call: outcomes.settle(body, call, succeeded=False),
        ),
    ),
    "charge": (
        Action(
            "dispute",
            _("Dispute it"),
            lambda c: c["paid"] and not c["disputed"] and not c["refunded"],
            disputes.open_dispute,
        ),
        Action("refund", _("Refund what is left"), lambda c: c["paid"] and not c["refunded"], _refund),
    ),
    "refund": (
        Action("settle", _("The refund arrives"), lambda r: r["status"] == "pending", refunds.settle),
        Action(
            "fail",
            _("The refund fails at the bank"),
            lambda r: r["status"] in ("pending", "succeeded"),
            refunds.fail,
        ),
    ),
    "dispute": (
        Action(
            "win",
            _("The bank decides for us"),
            _open_dispute,
            lambda body, call: disputes.decide(body, call, won=True),
        ),
        Action(
            "lose",
            _("The bank decides against us"),
            _open_dispute,
            lambda body, call: disputes.decide(body, call, won=False),
        ),
    ),
    "checkout.session": (
        Action(
            "expire",
            _("Expire it"),
            lambda s: s["status"] == "open",
            lambda body, call: checkout_sessions.expire(Call(now=call.now, ids={"session": body["id"]})),
        ),
    ),
    "subscription": (
        Action(
            "renew",
            _("Advance its clock to the next renewal"),
            lambda s: s["status"] not in subscription_states.OVER,
            _renew,
        ),
    ),
    "invoice": (
        Action(
            "retry", _("Advance its clock to the next try"), lambda i: bool(i["next_payment_attempt"]), _retry
        ),
    ),
    "test_helpers.test_clock": (
        Action(
            "day",
            _("Advance one day"),
            lambda c: True,
            lambda c, call: clock_api.advance_to(c, c["frozen_time"] + DAY, call),
        ),
        Action(
            "month",
            _("Advance 31 days"),
            lambda c: True,
            lambda c, call: clock_api.advance_to(c, c["frozen_time"] + MONTH, call),
        ),
    ),
}


def offered(body: Body) -> list[Action]:
    """What may be done to the object as it is."""
    if body.get("deleted"):
        return []
    return [action for action in ACTIONS.get(body["object"], ()) if action.possible(body)]


def perform(body: Body, name: str, call: Call) -> None:
    """Do it. Raises StripeError when Stripe would refuse it; an action that is not offered does nothing."""
    call = clocks.of_customer(call, body.get("customer"))
    for action in offered(body):
        if action.name == name:
            action.perform(body, call)
