"""Random moves that happen at Stripe: buyers pay pages, banks settle, refuse, refund and dispute payments.

Invariant: a move calls the sandbox's own functions as its pages do, in one transaction under its lock; what
Stripe does not allow in the present state changes nothing and counts as refused.
"""

from collections.abc import Callable
from typing import Any

from django.db import transaction
from django.utils import timezone

from sandbox import calls, errors, scheduled_actions, store, switches
from sandbox.calls import Call
from sandbox.objects import (
    checkout_payments,
    clocks,
    disputes,
    payment_intents,
    payments,
    refunds,
    stripe_test_cards,
)
from sandbox.store import Body
from tests.billing.histories.choices import Choices

BANK = ("passes", "passes", "passes", "later", "fails")
GOOD = ("visa", "mastercard", "visa", "amex")
CARDS = (
    *GOOD,
    "chargeDeclined",
    "authenticationRequiredOnSetup",
    "authenticationRequired",
    "chargeCustomerFail",
    "createDispute",
    "refundFail",
    "pendingRefund",
)
COUNTRIES = ("DE", "FR", "US")
IBANS = ("AT611904300234573201", "DE89370400440532013000", "DE62370400440532013001")


def at_stripe(move: Callable[[Call], str]) -> str:
    """Run a move as the sandbox's pages do; its name, or "refused" when Stripe does not allow it."""
    with transaction.atomic():
        store.lock()
        call = calls.without_request(timezone.now())
        try:
            return move(call)
        except payment_intents.Declined:
            return "declined"
        except errors.StripeError:
            transaction.set_rollback(True)
            return "refused"


def pay_a_page(choices: Choices) -> str:
    """The buyer pays one of the open pages with any of its methods."""
    open_pages = store.where("checkout.session", status="open")
    if not open_pages:
        return "no page"
    session = choices.choice(open_pages)
    kind = choices.pick("by", session["payment_method_types"])
    card = None
    if kind == "card":
        name = choices.pick("card", CARDS)
        card = stripe_test_cards.Entered(stripe_test_cards.BY_NAME[name], 12, 2099)
    iban = choices.pick("iban", IBANS) if kind == "sepa_debit" else ""
    country = choices.pick("country", COUNTRIES) if session["automatic_tax"]["enabled"] else ""
    submission = checkout_payments.Submission(type=kind, name="Alice", card=card, iban=iban, country=country)
    chosen = choices.pick("bank", BANK)

    def pay(call: Call) -> str:
        paid = checkout_payments.pay(session, submission, call)
        intent = checkout_payments.intent_of(paid)
        if paid["status"] == "open" and intent is not None and intent["status"] == "requires_action":
            return _at_the_bank(intent, chosen, kind, call)
        return f"{session['mode']} page paid by {kind}, {paid['payment_status']}"

    return at_stripe(pay)


def _at_the_bank(intent: Body, chosen: str, kind: str, call: Call) -> str:
    if kind == "customer_balance":
        return "bank transfer awaited"
    if kind != "card" and chosen == "later":
        payments.authorised_for_later(intent, call)
        return f"{kind} later"
    payments.authenticated(intent, call, passed=chosen != "fails")
    if kind == "card":
        return "authentication failed" if chosen == "fails" else "authenticated"
    return f"{kind} refused" if chosen == "fails" else f"{kind} authorised"


def transfer_a_part(choices: Choices) -> str:
    """A bank transfer of less than the awaited amount arrives."""
    instructions = "display_bank_transfer_instructions"
    awaited = [
        intent
        for intent in store.where("payment_intent", status="requires_action")
        if (intent["next_action"] or {}).get("type") == instructions
    ]
    if not awaited:
        return "no transfer awaited"
    intent = choices.choice(awaited)
    left = payment_intents.amount_awaited(intent)
    if left < 2:
        return "no transfer awaited"

    def transfer(call: Call) -> str:
        payments.receive_transfer(intent, left // 2, call)
        return "bank transfer of a part"

    return at_stripe(transfer)


def settle_a_payment(choices: Choices) -> str:
    pending = scheduled_actions.pending()
    if not pending:
        return "nothing pending"
    intent, succeeded = choices.choice(pending), choices.pick("settles", (True, True, True, False, False))

    def settle(call: Call) -> str:
        payments.settle(intent, clocks.of_customer(call, intent["customer"]), succeeded=succeeded)
        return "delayed payment succeeded" if succeeded else "delayed payment failed"

    return at_stripe(settle)


def refund_in_the_dashboard(choices: Choices) -> str:
    charge = _a_charge(choices)
    if charge is None:
        return "no charge"
    left = charge["amount"] - charge["amount_refunded"]
    whole = choices.pick("whole", (True, False))
    amount = left if whole else max(1, left * choices.randint(1, 9) // 10)

    def refund(call: Call) -> str:
        refunds.create(call.with_params(charge=charge["id"], amount=amount))
        return "refund of all in the dashboard" if whole else "refund of a part in the dashboard"

    return at_stripe(refund)


def refund_fails(choices: Choices) -> str:
    all_refunds = store.where("refund")
    if not all_refunds:
        return "no refund"
    refund = choices.choice(all_refunds)

    def fail(call: Call) -> str:
        refunds.fail(refund, call)
        return "refund failed at the bank"

    return at_stripe(fail)


def dispute_a_charge(choices: Choices) -> str:
    charge = _a_charge(choices)
    if charge is None:
        return "no charge"
    kind = choices.pick("kind", ("whole", "whole", "inquiry", "blocked", "resolved"))

    def dispute(call: Call) -> str:
        if kind == "inquiry":
            disputes.open_inquiry(charge, call)
        elif kind == "whole":
            disputes.open_dispute(charge, call)
        else:
            disputes.prevent(charge, call, blocked=kind == "blocked")
        return f"dispute opened: {kind}"

    return at_stripe(dispute)


def go_on_with_a_dispute(choices: Choices) -> str:
    """One of the steps that a dispute can take in its state."""
    all_disputes = store.where("dispute")
    if not all_disputes:
        return "no dispute"
    dispute = choices.choice(all_disputes)
    steps: dict[str, Callable[[Body, Call], Any]] = {
        "response": disputes.respond,
        "escalated": disputes.escalate,
        "inquiry closed": disputes.close_inquiry,
        "won": lambda body, call: disputes.decide(body, call, won=True),
        "lost": lambda body, call: disputes.decide(body, call, won=False),
        "decision reversed": disputes.reverse_decision,
        "appeal": disputes.open_appeal,
    }
    names = list(steps)
    choices.shuffle(names)
    named = choices.named.get("to", "").replace("-", " ")
    names.sort(key=lambda name: name != named)
    for name in names:

        def act(call: Call, name: str = name) -> str:
            return f"dispute: {steps[name](dispute, call) and name}"

        outcome = at_stripe(act)
        if outcome != "refused":
            return outcome
    return "dispute is final"


def credit_at_stripe(choices: Choices) -> str:
    """Staff credit the customer's balance in Stripe's dashboard, which later invoices use."""
    customers = store.where("customer")
    if not customers:
        return "no customer"
    customer = choices.choice(customers)
    customer["balance"] -= choices.pick("amount", (300, 900, 90_000))
    store.save(customer)
    return "credit at Stripe"


def cards_fail(choices: Choices) -> str:
    switches.turn(switches.Fault.CARDS_FAIL, remaining=choices.randint(1, 3))
    return "cards fail"


def _a_charge(choices: Choices) -> Body | None:
    charges = store.where("charge", status="succeeded")
    return choices.choice(charges) if charges else None
