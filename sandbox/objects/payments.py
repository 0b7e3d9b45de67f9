"""The engine of payments: what happens to a payment intent when it is tried, confirmed, settled or
refused.

Invariant: an intent succeeds at most once; every try is a charge; a decline leaves the intent payable by
another method. This module knows nothing of checkouts and invoices (sandbox.objects.outcomes tells them).
"""

from datetime import timedelta
from typing import Any

from django.conf import settings

from sandbox import store, switches
from sandbox.calls import Call
from sandbox.errors import StripeError
from sandbox.models import Due
from sandbox.objects import charges, disputes, events, payment_methods, stripe_test_cards
from sandbox.store import Body
from sandbox.switches import Fault

SETTLES_AFTER = timedelta(minutes=2)
OPEN = ("requires_payment_method", "requires_confirmation", "requires_action")


class Declined(StripeError):
    """A card error. What was written before it (the failed charge, its events) stays written."""


def attempt(
    intent: Body, method: Body, call: Call, *, off_session: bool = False, authenticated: bool = False
) -> Body:
    """Try to pay an intent by a method. Raises Declined; the intent may also end in action or processing."""
    intent |= {"payment_method": method["id"], "last_payment_error": None, "next_action": None}
    if method["type"] == "card":
        return _attempt_card(intent, method, call, off_session=off_session, authenticated=authenticated)
    if method["type"] == "sepa_debit":
        return begin_processing(intent, call)
    if method["type"] == "customer_balance":
        return _await_transfer(intent, call)
    return _redirect(intent, "authorise", call)


def _attempt_card(intent: Body, method: Body, call: Call, *, off_session: bool, authenticated: bool) -> Body:
    card = payment_methods.test_card(method)
    asks = card.authentication == "always" or (
        card.authentication == "unless_set_up" and not (off_session and method.get("_set_up"))
    )
    if asks and not authenticated:
        if off_session:
            raise fail(intent, method, call, decline="authentication_required")
        return _redirect(intent, "authenticate", call)
    decline = card.decline or (off_session and card.off_session_decline) or ""
    if off_session and not decline and switches.occurs(Fault.CARDS_FAIL):
        decline = "generic_decline"
    if decline:
        raise fail(intent, method, call, decline=decline)
    if intent["setup_future_usage"] == "off_session":
        method["_set_up"] = True
        store.save(method)
    return succeed(
        intent, charges.new(intent, method, call, status="succeeded", authenticated=authenticated), call
    )


def succeed(intent: Body, charge: Body, call: Call) -> Body:
    """The money is there."""
    intent |= {
        "status": "succeeded",
        "amount_received": intent["amount"],
        "latest_charge": charge["id"],
        "next_action": None,
        "processing": None,
    }
    store.save(intent)
    method = store.find("payment_method", charge["payment_method"])
    if (
        intent["setup_future_usage"]
        and intent["customer"]
        and method
        and method["type"] in payment_methods.REUSABLE
    ):
        payment_methods.attach(method, intent["customer"], call)
    events.record("payment_intent.succeeded", intent, call)
    if charges.behaviour(charge).later == "dispute" and not intent.get("_disputed"):
        intent["_disputed"] = True
        store.save(intent)
        disputes.open_dispute(charge, call)
    return intent


def fail(intent: Body, method: Body, call: Call, *, decline: str) -> Declined:
    """Write a failed try; returns the error to raise."""
    charge = charges.new(intent, method, call, status="failed", decline=decline)
    code, message = stripe_test_cards.DECLINES[decline]
    error = {
        "type": "card_error",
        "code": code,
        "decline_code": decline,
        "message": message,
        "charge": charge["id"],
        "doc_url": f"https://stripe.com/docs/error-codes/{code.replace('_', '-')}",
        "payment_method": store.public(method),
    }
    intent |= {
        "status": "requires_payment_method",
        "latest_charge": charge["id"],
        "last_payment_error": error,
        "payment_method": None,
        "next_action": None,
    }
    store.save(intent)
    events.record("payment_intent.payment_failed", intent, call)
    more: dict[str, Any] = {"payment_intent": store.public(intent), "payment_method": store.public(method)}
    return Declined(
        message, status=402, type="card_error", code=code, decline_code=decline, charge=charge["id"], **more
    )


def fail_authentication(intent: Body, call: Call) -> Body:
    """The buyer failed 3-D Secure, or refused in the wallet's app."""
    method = store.find("payment_method", intent["payment_method"])
    message = (
        "We are unable to authenticate your payment method. "
        "Please choose a different payment method and try again."
    )
    error = {
        "type": "invalid_request_error",
        "code": "payment_intent_authentication_failure",
        "message": message,
        "payment_method": store.public(method or {}),
    }
    intent |= {
        "status": "requires_payment_method",
        "last_payment_error": error,
        "payment_method": None,
        "next_action": None,
    }
    store.save(intent)
    events.record("payment_intent.payment_failed", intent, call)
    return intent


def _redirect(intent: Body, page: str, call: Call) -> Body:
    back = intent.get("_return_url")
    url = f"{settings.SITE_URL}/sandbox/{page}/{intent['id']}"
    intent |= {
        "status": "requires_action",
        "next_action": {"type": "redirect_to_url", "redirect_to_url": {"return_url": back, "url": url}},
    }
    store.save(intent)
    events.record("payment_intent.requires_action", intent, call)
    return intent


def begin_processing(intent: Body, call: Call) -> Body:
    """The bank was asked; it answers later (see `settle`)."""
    method = store.get("payment_method", intent["payment_method"])
    charge = charges.new(intent, method, call, status="pending")
    intent |= {"status": "processing", "latest_charge": charge["id"], "next_action": None}
    store.save(intent)
    events.record("payment_intent.processing", intent, call)
    Due.objects.create(stripe_id=intent["id"], action="settle", due_at=call.moment + SETTLES_AFTER)
    return intent


def _await_transfer(intent: Body, call: Call) -> Body:
    details = {
        "amount_remaining": intent["amount"],
        "currency": intent["currency"],
        "financial_addresses": [],
        "hosted_instructions_url": f"{settings.SITE_URL}/sandbox/transfer/{intent['id']}",
        "reference": store.random_text(10).upper(),
        "type": "eu_bank_transfer" if intent["currency"] == "eur" else "us_bank_transfer",
    }
    intent |= {
        "status": "requires_action",
        "next_action": {
            "type": "display_bank_transfer_instructions",
            "display_bank_transfer_instructions": details,
        },
    }
    store.save(intent)
    events.record("payment_intent.requires_action", intent, call)
    return intent


def settle(intent: Body, call: Call, *, succeeded: bool) -> Body:
    """The pending money arrived (or never will). Raises StripeError when nothing is pending."""
    charge = store.find("charge", intent["latest_charge"])
    pending = charge if charge and charge["status"] == "pending" else None
    transfer = (intent["next_action"] or {}).get("type") == "display_bank_transfer_instructions"
    if intent["status"] != "processing" and not transfer:
        raise StripeError(
            f"Nothing of {intent['id']} is pending: it is {intent['status']}.",
            code="payment_intent_unexpected_state",
        )
    method = store.get("payment_method", intent["payment_method"])
    if succeeded:
        if pending is None:
            pending = charges.new(intent, method, call, status="succeeded")
        else:
            charges.settle(pending, call, succeeded=True)
        return succeed(intent, pending, call)
    if pending is not None:
        charges.settle(pending, call, succeeded=False)
    error = {
        "type": "invalid_request_error",
        "code": "payment_intent_payment_attempt_failed",
        "message": "The bank refused the payment.",
    }
    intent |= {
        "status": "requires_payment_method",
        "last_payment_error": error,
        "payment_method": None,
        "next_action": None,
    }
    store.save(intent)
    events.record("payment_intent.payment_failed", intent, call)
    return intent


def pay_redirected(intent: Body, method: Body, call: Call) -> Body:
    """The buyer authorised the payment on the wallet's own page."""
    return succeed(intent, charges.new(intent, method, call, status="succeeded"), call)
