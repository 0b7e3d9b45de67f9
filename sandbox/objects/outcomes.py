"""What an intent's new state means for the checkout or the invoice it pays.

Invariant: wherever an intent changes (API, 3-D Secure page, settling, retry), its checkout and invoice are
told in the same transaction.
"""

from sandbox import store
from sandbox.calls import Call
from sandbox.objects import checkout_payments, default_cards, invoices, payments, setup_intents
from sandbox.store import Body


def changed(intent: Body, call: Call) -> None:
    """The intent succeeded, or is on its way."""
    if intent.get("_becomes_default") and intent["status"] == "succeeded":
        default_cards.choose(intent["customer"], intent["payment_method"], call)
    if session_id := intent.get("_session"):
        session = store.get("checkout.session", session_id)
        if intent["object"] == "setup_intent":
            checkout_payments.follow_setup(session, intent, call)
        else:
            checkout_payments.follow(session, intent, call)
    if intent.get("_invoice") and intent["status"] == "succeeded":
        invoices.mark_paid(store.get("invoice", intent["_invoice"]), intent, call)


def failed(intent: Body, call: Call) -> None:
    """The intent's last try failed."""
    if session_id := intent.get("_session"):
        checkout_payments.failed(store.get("checkout.session", session_id), call)


def authenticated(intent: Body, call: Call, *, passed: bool) -> Body:
    """The buyer came through 3-D Secure or a wallet's page, or failed there. Raises payments.Declined."""
    method = store.find("payment_method", intent["payment_method"])
    if intent["status"] != "requires_action" or method is None:
        return intent
    if intent["object"] == "setup_intent":
        if passed:
            setup_intents.attempt(intent, method, call, authenticated=True)
        else:
            setup_intents.fail_authentication(intent, call)
    elif not passed:
        payments.fail_authentication(intent, call)
    elif method["type"] == "card":
        payments.attempt(intent, method, call, authenticated=True)
    else:
        payments.pay_redirected(intent, method, call)
    if passed:
        changed(intent, call)
    else:
        failed(intent, call)
    return intent


def authorised_later(intent: Body, call: Call) -> Body:
    """The buyer authorised in the wallet, but the money comes later."""
    payments.begin_processing(intent, call)
    changed(intent, call)
    return intent


def settle(intent: Body, call: Call, *, succeeded: bool) -> Body:
    """A pending payment arrives or fails. Raises StripeError when nothing is pending."""
    payments.settle(intent, call, succeeded=succeeded)
    if succeeded:
        changed(intent, call)
    else:
        failed(intent, call)
    return intent
