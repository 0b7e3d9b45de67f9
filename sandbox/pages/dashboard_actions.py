"""The actions on an object's page, which simulate the bank, the Stripe dashboard or the passing of time.

Invariant: only an action offered for the object's kind and state is performed.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from django.utils.translation import gettext_lazy as _

from sandbox.calls import Call
from sandbox.objects import (
    checkout_sessions,
    clocks,
    disputes,
    payment_intents,
    payment_methods,
    payments,
    refunds,
    renewals,
    subscription_states,
)
from sandbox.store import Body

DAY, MONTH = 86400, 31 * 86400


class Action(NamedTuple):
    name: str
    label: Any  # translated when it is shown
    possible: Callable[[Body], bool]
    perform: Callable[[Body, Call], object]


def _settle(intent: Body, call: Call) -> None:
    payments.settle(intent, call, succeeded=True)


def _fail_payment(intent: Body, call: Call) -> None:
    payments.settle(intent, call, succeeded=False)


def _can_be_disputed(charge: Body) -> bool:
    return bool(charge["paid"] and disputes.disputed_amount(charge) < charge["amount"])


def _dispute_part(charge: Body, call: Call) -> None:
    disputes.open_dispute(charge, call, amount=max(1, charge["amount"] // 2))


def _has_two_parts_left(charge: Body) -> bool:
    return _can_be_disputed(charge) and not charge["disputed"] and charge["amount"] > 1


def _block(charge: Body, call: Call) -> None:
    disputes.prevent(charge, call, blocked=True)


def _resolve(charge: Body, call: Call) -> None:
    disputes.prevent(charge, call, blocked=False)


def _can_be_refunded(charge: Body) -> bool:
    return bool(charge["paid"] and not charge["refunded"])


def _refund(charge: Body, call: Call) -> None:
    refunds.create(call.with_params(charge=charge["id"]))


def _is_open_dispute(dispute: Body) -> bool:
    return dispute["status"] in disputes.OPEN


def _awaits_response(dispute: Body) -> bool:
    return dispute["status"] in disputes.REVIEWED


def _is_inquiry(dispute: Body) -> bool:
    return dispute["status"] in disputes.INQUIRY


def _win(dispute: Body, call: Call) -> None:
    disputes.decide(dispute, call, won=True)


def _lose(dispute: Body, call: Call) -> None:
    disputes.decide(dispute, call, won=False)


def _is_saved_card(method: Body) -> bool:
    return bool(method["type"] == "card" and method["customer"])


def _renew_card(method: Body, call: Call) -> None:
    payment_methods.renew_by_network(method, call)


def _lack_funds(method: Body, call: Call) -> None:
    payment_methods.refuse_from_now(method, "insufficient_funds")


def _lose_card(method: Body, call: Call) -> None:
    payment_methods.refuse_from_now(method, "lost_card")


def _expire(session: Body, call: Call) -> None:
    checkout_sessions.expire(Call(now=call.now, ids={"session": session["id"]}))


def _renew(subscription: Body, call: Call) -> None:
    """Advance the customer's clock to the end of the period; without a clock, create one."""
    clock = clocks.ensure(subscription["customer"], call)
    end = min(item["current_period_end"] for item in subscription["items"]["data"])
    renewals.advance(clock, max(end, clock["frozen_time"] + 1), call)


def _retry(invoice: Body, call: Call) -> None:
    """Advance the customer's clock to the next attempt to charge the invoice."""
    clock = clocks.ensure(invoice["customer"], call)
    renewals.advance(clock, max(invoice["next_payment_attempt"], clock["frozen_time"] + 1), call)


def _advance_day(clock: Body, call: Call) -> None:
    renewals.advance(clock, clock["frozen_time"] + DAY, call)


def _advance_month(clock: Body, call: Call) -> None:
    renewals.advance(clock, clock["frozen_time"] + MONTH, call)


ACTIONS: dict[str, tuple[Action, ...]] = {
    "payment_intent": (
        Action("settle", _("Payment succeeds"), payment_intents.is_pending, _settle),
        Action("fail", _("Payment fails"), payment_intents.is_pending, _fail_payment),
    ),
    "payment_method": (
        Action("renew_card", _("The network replaces the card"), _is_saved_card, _renew_card),
        Action("detach", _("Detach"), lambda body: bool(body["customer"]), payment_methods.detach),
        Action("decline_funds", _("Decline from now on: insufficient funds"), _is_saved_card, _lack_funds),
        Action("decline_lost", _("Decline from now on: lost card"), _is_saved_card, _lose_card),
    ),
    "charge": (
        Action("dispute", _("Open a dispute"), _can_be_disputed, disputes.open_dispute),
        Action("dispute_part", _("Open a dispute of half the amount"), _has_two_parts_left, _dispute_part),
        Action("inquire", _("Open an inquiry"), _can_be_disputed, disputes.open_inquiry),
        Action("block", _("Dispute prevented: blocked"), _can_be_disputed, _block),
        Action("resolve", _("Dispute prevented: money returned"), _can_be_disputed, _resolve),
        Action("refund", _("Refund the remaining amount"), _can_be_refunded, _refund),
    ),
    "refund": (
        Action("settle", _("Refund succeeds"), lambda body: body["status"] == "pending", refunds.settle),
        Action(
            "fail", _("Refund fails"), lambda body: body["status"] in ("pending", "succeeded"), refunds.fail
        ),
        Action("reference", _("Reference number arrives"), refunds.has_no_reference, refunds.set_reference),
    ),
    "dispute": (
        Action(
            "respond",
            _("Submit evidence"),
            lambda body: body["status"] in disputes.REVIEWED,
            disputes.respond,
        ),
        Action("escalate", _("Inquiry becomes a chargeback"), _is_inquiry, disputes.escalate),
        Action("close_inquiry", _("Close inquiry"), _is_inquiry, disputes.close_inquiry),
        Action("win", _("Dispute won"), _is_open_dispute, _win),
        Action("lose", _("Dispute lost"), _is_open_dispute, _lose),
        Action("appeal", _("Open an appeal"), lambda body: body["status"] == "lost", disputes.open_appeal),
        Action(
            "reverse",
            _("Bank reverses its decision"),
            lambda body: body["status"] in ("won", "lost"),
            disputes.reverse_decision,
        ),
    ),
    "checkout.session": (
        Action("expire", _("Expire session"), lambda body: body["status"] == "open", _expire),
    ),
    "subscription": (
        Action(
            "renew",
            _("Advance clock to the next renewal"),
            lambda body: body["status"] not in subscription_states.ENDED,
            _renew,
        ),
    ),
    "invoice": (
        Action(
            "retry",
            _("Advance clock to the next attempt"),
            lambda body: bool(body["next_payment_attempt"]),
            _retry,
        ),
    ),
    "test_helpers.test_clock": (
        Action("day", _("Advance one day"), lambda body: True, _advance_day),
        Action("month", _("Advance 31 days"), lambda body: True, _advance_month),
    ),
}


def offered(body: Body) -> list[Action]:
    """The actions that are possible in the object's state."""
    return [action for action in ACTIONS.get(body["object"], ()) if action.possible(body)]


def perform(body: Body, name: str, call: Call) -> None:
    """Perform the action if it is offered. Raises StripeError when Stripe would refuse it."""
    call = clocks.of_customer(call, body.get("customer"))
    for action in offered(body):
        if action.name == name:
            action.perform(body, call)
