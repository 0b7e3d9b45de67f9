"""Payment intents: one amount to pay, and the attempts to pay it.

Invariant: an intent succeeds at most once; every attempt creates a charge; a decline leaves the intent
payable by another method. Checkout sessions and invoices follow in sandbox.objects.payments.
https://docs.stripe.com/payments/paymentintents/lifecycle
"""

import copy
from datetime import timedelta
from typing import Any

from django.conf import settings

from sandbox import errors, store, switches
from sandbox.calls import Call
from sandbox.models import Due
from sandbox.objects import amounts, charges, defaults, disputes, events, payment_methods, stripe_test_cards
from sandbox.store import Body
from sandbox.switches import Fault

SETTLES_AFTER = timedelta(minutes=2)
INSTRUCTIONS = "display_bank_transfer_instructions"
TRANSFERS = {
    "eur": "eu_bank_transfer",
    "gbp": "gb_bank_transfer",
    "jpy": "jp_bank_transfer",
    "mxn": "mx_bank_transfer",
    "usd": "us_bank_transfer",
}


class Declined(errors.StripeError):
    """A card error. The failed charge and its events are committed."""


def new(call: Call, *, amount: int, currency: str, **params: Any) -> Body:
    """A payment intent without a payment method; `params` are those of Stripe's API."""
    amounts.check(amount, currency)
    intent_id = store.new_id("payment_intent")
    allowed = params.get("allowed_payment_method_types")
    body: Body = copy.deepcopy(defaults.PAYMENT_INTENT) | {
        "id": intent_id,
        "allowed_payment_method_types": allowed,
        "amount": amount,
        "client_secret": f"{intent_id}_secret_{store.random_text(25)}",
        "created": call.now,
        "currency": currency,
        "customer": params.get("customer"),
        "description": params.get("description"),
        "payment_method_options": params.get("payment_method_options") or {},
        "payment_method_types": payment_methods.types_for(currency, allowed),
        "receipt_email": params.get("receipt_email"),
        "setup_future_usage": params.get("setup_future_usage"),
    }
    store.merge_metadata(body, params.get("metadata") or {})
    store.add(body)
    events.record("payment_intent.created", body, call)
    return body


def is_pending(intent: Body) -> bool:
    """Whether the payment was authorised, and its result or its bank transfer is awaited."""
    return intent["status"] == "processing" or awaits_transfer(intent)


def awaits_transfer(intent: Body) -> bool:
    return (intent["next_action"] or {}).get("type") == INSTRUCTIONS


def attempt(
    intent: Body,
    method: Body,
    call: Call,
    *,
    off_session: bool = False,
    saved: bool = False,
    authenticated: bool = False,
) -> Body:
    """Try to pay by a method; the status may also become requires_action. Raises Declined.

    `saved`: the method was saved before, although the customer may be present (`off_session` is False).
    """
    intent |= {"payment_method": method["id"], "last_payment_error": None, "next_action": None}
    if method["type"] == "card":
        return _attempt_card(
            intent, method, call, off_session=off_session, saved=saved, authenticated=authenticated
        )
    if method["type"] == "customer_balance":
        return _request_transfer(intent, call)
    if method["type"] == "sepa_debit":
        return begin_processing(intent, call)
    return _redirect(intent, "authorise", call)


def _attempt_card(
    intent: Body, method: Body, call: Call, *, off_session: bool, saved: bool, authenticated: bool
) -> Body:
    card = payment_methods.test_card(method)
    needs_authentication = card.authentication == "always" or (
        card.authentication == "unless_set_up" and not (off_session and method.get("_set_up"))
    )
    if needs_authentication and not authenticated:
        if off_session:
            raise fail(intent, method, call, decline="authentication_required")
        return _redirect(intent, "authenticate", call)
    decline = (
        method.get("_decline") or card.decline or ((off_session or saved) and card.off_session_decline) or ""
    )
    if (off_session or saved) and not decline and switches.occurs(Fault.CARDS_FAIL):
        decline = "generic_decline"
    if decline:
        raise fail(intent, method, call, decline=decline)
    if intent["setup_future_usage"] == "off_session":
        method["_set_up"] = True
        store.save(method)
    charge = charges.new(intent, method, call, status="succeeded", authenticated=authenticated)
    return _succeed(intent, charge, call)


def pay_authorised(intent: Body, method: Body, call: Call) -> Body:
    """The customer authorised the payment on the wallet's page."""
    return _succeed(intent, charges.new(intent, method, call, status="succeeded"), call)


def _succeed(intent: Body, charge: Body, call: Call) -> Body:
    intent |= {
        "status": "succeeded",
        "amount_received": intent["amount"],
        "latest_charge": charge["id"],
        "next_action": None,
        "processing": None,
    }
    store.save(intent)
    method = store.get("payment_method", charge["payment_method"])
    saves = intent["setup_future_usage"] and method["type"] in payment_methods.REUSABLE
    if saves and intent["customer"]:
        payment_methods.attach(method, intent["customer"], call)
    events.record("payment_intent.succeeded", intent, call)
    behaviour = charges.test_card_of(charge).after_payment
    if behaviour in ("dispute", "inquiry") and not intent.get("_disputed"):
        intent["_disputed"] = True
        store.save(intent)
        opens = disputes.open_dispute if behaviour == "dispute" else disputes.open_inquiry
        opens(charge, call)
    return intent


def fail(intent: Body, method: Body, call: Call, *, decline: str) -> Declined:
    """Record a failed attempt; return the error to raise."""
    charge = charges.new(intent, method, call, status="failed", decline=decline)
    code, message = stripe_test_cards.DECLINES[decline]
    error = {
        "type": "card_error",
        "code": code,
        "decline_code": decline,
        "advice_code": stripe_test_cards.ADVICE.get(decline),
        "message": message,
        "charge": charge["id"],
        "doc_url": errors.documentation_url(code),
        "payment_method": store.public(method),
    }
    intent["latest_charge"] = charge["id"]
    _require_method(intent, call, error)
    more: dict[str, Any] = {"payment_intent": store.public(intent), "payment_method": store.public(method)}
    more |= {"charge": charge["id"], "advice_code": error["advice_code"]}
    return Declined(message, status=402, type="card_error", code=code, decline_code=decline, **more)


def fail_authentication(intent: Body, call: Call) -> Body:
    """The customer failed 3-D Secure, or refused the payment in the wallet."""
    method = store.find("payment_method", intent["payment_method"])
    error = {
        "type": "invalid_request_error",
        "code": "payment_intent_authentication_failure",
        "message": "We are unable to authenticate your payment method. "
        "Please choose a different payment method and try again.",
        "payment_method": store.public(method or {}),
    }
    return _require_method(intent, call, error)


def _require_method(intent: Body, call: Call, error: dict[str, Any]) -> Body:
    """Record a failed payment: the intent can be paid by another method."""
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
    url = f"{settings.SITE_URL}/sandbox/{page}/{intent['id']}"
    redirect = {"return_url": intent.get("_return_url"), "url": url}
    return _require_action(intent, call, {"type": "redirect_to_url", "redirect_to_url": redirect})


def _request_transfer(intent: Body, call: Call) -> Body:
    """https://docs.stripe.com/payments/bank-transfers"""
    details = {
        "amount_remaining": intent["amount"],
        "currency": intent["currency"],
        "financial_addresses": [],
        "hosted_instructions_url": f"{settings.SITE_URL}/sandbox/transfer/{intent['id']}",
        "reference": store.random_text(10).upper(),
        "type": TRANSFERS[intent["currency"]],
    }
    return _require_action(intent, call, {"type": INSTRUCTIONS, INSTRUCTIONS: details})


def amount_awaited(intent: Body) -> int:
    """The rest of a bank transfer in minor units. Raises StripeError when none is awaited."""
    if not awaits_transfer(intent):
        raise errors.StripeError(
            f"{intent['id']} awaits no bank transfer.", code="payment_intent_unexpected_state"
        )
    return int(intent["next_action"][INSTRUCTIONS]["amount_remaining"])


def fund_partially(intent: Body, amount: int, call: Call) -> Body:
    """Part of a bank transfer arrived: the payment still requires the rest."""
    intent["next_action"][INSTRUCTIONS]["amount_remaining"] = amount_awaited(intent) - amount
    store.save(intent)
    events.record("payment_intent.partially_funded", intent, call)
    return intent


def _require_action(intent: Body, call: Call, action: dict[str, Any]) -> Body:
    intent |= {"status": "requires_action", "next_action": action}
    store.save(intent)
    events.record("payment_intent.requires_action", intent, call)
    return intent


def begin_processing(intent: Body, call: Call) -> Body:
    """The payment is authorised; `settle` completes it after SETTLES_AFTER."""
    method = store.get("payment_method", intent["payment_method"])
    charge = charges.new(intent, method, call, status="pending")
    intent |= {"status": "processing", "latest_charge": charge["id"], "next_action": None}
    store.save(intent)
    events.record("payment_intent.processing", intent, call)
    Due.objects.create(stripe_id=intent["id"], action="settle", due_at=call.moment + SETTLES_AFTER)
    return intent


def settle(intent: Body, call: Call, *, succeeded: bool) -> Body:
    """Complete a pending payment, successfully or not. Raises StripeError if it is not pending."""
    if not is_pending(intent):
        raise errors.StripeError(
            f"{intent['id']} is not pending: its status is {intent['status']}.",
            code="payment_intent_unexpected_state",
        )
    charge = store.find("charge", intent["latest_charge"])
    pending = charge if charge and charge["status"] == "pending" else None
    if pending is not None:
        charges.settle(pending, call, succeeded=succeeded)
    if succeeded:
        method = store.get("payment_method", intent["payment_method"])
        return _succeed(intent, pending or charges.new(intent, method, call, status="succeeded"), call)
    error = {
        "type": "invalid_request_error",
        "code": "payment_intent_payment_attempt_failed",
        "message": "The bank refused the payment.",
    }
    return _require_method(intent, call, error)
