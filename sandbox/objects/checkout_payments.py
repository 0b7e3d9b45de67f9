"""What happens when a buyer presses "Pay" on the hosted page, and when a later payment of a session
settles.

Invariant: the session, its payment and its events change in one transaction; a session that is not open any
more is never paid again, so that a second click does nothing.
"""

import dataclasses

from sandbox import errors, store
from sandbox.calls import Call
from sandbox.objects import (
    checkout_sessions,
    customers,
    discounts,
    events,
    payment_intents,
    payment_methods,
    payments,
    setup_intents,
    stripe_test_cards,
    subscriptions,
)
from sandbox.store import Body


@dataclasses.dataclass(frozen=True, kw_only=True)
class Buyer:
    """What the buyer entered; `saved` is the id of a saved payment method used instead of a new card."""

    email: str
    kind: str
    name: str = ""
    card: stripe_test_cards.Entered | None = None
    saved: str = ""
    save_card: bool = False
    address: Body | None = None


def pay(session: Body, buyer: Buyer, call: Call) -> Body:
    """Pay or set up; returns the session (complete), or open with its intent waiting for the buyer.

    Raises payments.Declined when the card is refused, StripeError when the session is not open.
    """
    checkout_sessions.lapse(session, call)
    if session["status"] != "open":
        raise errors.StripeError(f"This session is {session['status']}.", code="resource_invalid_state")
    _remember_buyer(session, buyer)
    customer = _customer(session, buyer, call)
    method = _method(buyer, customer, call)
    if session["mode"] == "setup" or not session["amount_total"]:
        return _set_up(session, method, call)
    intent = _intent(session, buyer, call)
    payments.attempt(intent, method, call)
    return follow(session, intent, call)


def _remember_buyer(session: Body, buyer: Buyer) -> None:
    session["customer_details"] = {
        "address": customers.NO_ADDRESS | (buyer.address or {}),
        "business_name": None,
        "email": buyer.email,
        "individual_name": None,
        "name": buyer.name or None,
        "phone": None,
        "tax_exempt": "none",
        "tax_ids": [],
    }
    store.save(session)


def _customer(session: Body, buyer: Buyer, call: Call) -> str | None:
    wanted = session["customer_creation"] == "always" or session["_intent_data"].get("setup_future_usage")
    if not session["customer"] and (wanted or session["mode"] == "subscription"):
        session["customer"] = customers.new(call, email=buyer.email, name=buyer.name)["id"]
        store.save(session)
    customer: str | None = session["customer"]
    return customer


def _method(buyer: Buyer, customer: str | None, call: Call) -> Body:
    if buyer.saved:
        method = store.get("payment_method", buyer.saved)
        if not customer or method["customer"] != customer:
            raise errors.unknown_object("payment_method", buyer.saved)
        return method
    billing = payment_methods.billing_details(email=buyer.email, name=buyer.name, address=buyer.address)
    if buyer.card is not None:
        method = payment_methods.new_card(buyer.card, call, billing)
    else:
        method = payment_methods.new(buyer.kind, call, billing=billing)
    if buyer.save_card and customer and method["type"] in payment_methods.REUSABLE:
        method["allow_redisplay"] = "always"
        method["_attach_to"] = customer
        store.save(method)
    return method


def _intent(session: Body, buyer: Buyer, call: Call) -> Body:
    """The session's intent: made at the first try, used again after a decline."""
    if found := store.find("payment_intent", session["payment_intent"] or session.get("_intent")):
        return found
    given = dict(session["_intent_data"])
    if session["mode"] == "subscription":
        given = {"setup_future_usage": "off_session", "description": "Subscription creation"}
    intent = payment_intents.new(
        call,
        amount=session["amount_total"],
        currency=session["currency"],
        customer=session["customer"],
        allowed_payment_method_types=session.get("allowed_payment_method_types"),
        receipt_email=given.pop("receipt_email", None),
        **given,
    )
    intent |= {"_session": session["id"], "_return_url": session["url"]}
    store.save(intent)
    # A session in subscription mode shows its payment through the invoice, never itself.
    session["payment_intent" if session["mode"] == "payment" else "_intent"] = intent["id"]
    store.save(session)
    return intent


def _set_up(session: Body, method: Body, call: Call) -> Body:
    """Nothing to pay: save the method (setup mode, or a free start)."""
    if session["mode"] == "payment":
        return _complete(session, call, "no_payment_required")
    intent = setup_intents.new(call, customer=session["customer"], **session["_setup_data"])
    intent |= {"_session": session["id"], "_return_url": session["url"]}
    store.save(intent)
    session["setup_intent"] = intent["id"] if session["mode"] == "setup" else None
    store.save(session)
    setup_intents.attempt(intent, method, call)
    return follow_setup(session, intent, call)


def follow_setup(session: Body, intent: Body, call: Call) -> Body:
    """Complete a session whose method is saved now."""
    if intent["status"] != "succeeded" or session["status"] != "open":
        return session
    if session["mode"] == "subscription":
        _subscribe(session, None, intent["payment_method"], call)
        return _complete(session, call, "no_payment_required")
    return _complete(session, call, "no_payment_required")


def follow(session: Body, intent: Body, call: Call) -> Body:
    """Bring the session up to its intent: complete it, or tell that a later payment settled."""
    waiting_transfer = (intent["next_action"] or {}).get("type") == "display_bank_transfer_instructions"
    if session["status"] == "open":
        if intent["status"] == "succeeded":
            _save_chosen(intent, call)
            if session["mode"] == "subscription":
                _subscribe(session, intent, intent["payment_method"], call)
            return _complete(session, call, "paid")
        if intent["status"] == "processing" or waiting_transfer:
            return _complete(session, call, "unpaid")
        return session
    if (
        session["status"] == "complete"
        and session["payment_status"] == "unpaid"
        and intent["status"] == "succeeded"
    ):
        if session["mode"] == "subscription":
            _subscribe(session, intent, intent["payment_method"], call)
        session["payment_status"] = "paid"
        store.save(session)
        events.record("checkout.session.async_payment_succeeded", session, call)
    return session


def failed(session: Body, call: Call) -> None:
    """A later payment failed for good; before completion a decline concerns only the page."""
    if session["status"] == "complete" and session["payment_status"] == "unpaid":
        events.record("checkout.session.async_payment_failed", session, call)


def _save_chosen(intent: Body, call: Call) -> None:
    method = store.find("payment_method", intent["payment_method"])
    if method and method.get("_attach_to") and not method["customer"]:
        payment_methods.attach(method, method["_attach_to"], call)


def _subscribe(session: Body, intent: Body | None, method_id: str, call: Call) -> None:
    given = session["_subscription_data"]
    method = store.get("payment_method", method_id)
    payment_methods.attach(method, session["customer"], call)
    subscription = subscriptions.start(
        call,
        customer=session["customer"],
        lines=[{"price": line["price"], "quantity": line["quantity"]} for line in session["_line_items"]],
        paid_by=intent,
        default_payment_method=method_id,
        discounts=session["discounts"],
        trial_days=given.get("trial_period_days", 0),
        metadata=given.get("metadata") or {},
        description=given.get("description"),
    )
    session |= {"subscription": subscription["id"], "invoice": subscription["latest_invoice"]}


def _complete(session: Body, call: Call, payment_status: str) -> Body:
    session |= {"status": "complete", "payment_status": payment_status, "url": None}
    store.save(session)
    for discount in session["discounts"]:
        discounts.redeemed(discount)
    events.record("checkout.session.completed", session, call)
    return session
