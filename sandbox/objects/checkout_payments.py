"""The payment of a checkout session on its hosted page, and the result of a pending payment.

Invariant: the session, its payment and its events change in one transaction; only an open session can be
paid, so that a second submission does nothing. https://docs.stripe.com/payments/checkout/how-checkout-works
"""

import dataclasses

from sandbox import errors, store
from sandbox.calls import Call
from sandbox.objects import (
    amounts,
    checkout_sessions,
    customers,
    events,
    payment_intents,
    payment_methods,
    setup_intents,
    stripe_test_cards,
    subscriptions,
    taxes,
)
from sandbox.store import Body


@dataclasses.dataclass(frozen=True, kw_only=True)
class Submission:
    """A submitted payment form: a new card, an IBAN, a saved payment method (its id), or another type."""

    type: str
    name: str = ""
    card: stripe_test_cards.Entered | None = None
    saved: str = ""
    iban: str = ""
    country: str = ""
    tax_id: str = ""


def pay(session: Body, submission: Submission, call: Call) -> Body:
    """Pay the session, or save its card. The session stays open while its intent requires action.

    Raises payment_intents.Declined when the card is declined, StripeError when the session is not open.
    """
    checkout_sessions.expire_if_due(session, call)
    if session["status"] != "open":
        raise errors.StripeError(f"This session is {session['status']}.", code="resource_invalid_state")
    customer = store.get("customer", session["customer"])
    country = submission.country or taxes.country_of(customer)
    tax_ids = taxes.tax_ids(country, submission.tax_id) or customer.get("_tax_ids") or []
    session["customer_details"] = {
        "address": customers.NO_ADDRESS | {"country": country or None},
        "business_name": None,
        "email": customer["email"],
        "individual_name": None,
        "name": submission.name or None,
        "phone": None,
        "tax_exempt": "none",
        "tax_ids": tax_ids,
    }
    store.save(session)
    if session["_customer_update"].get("address") == "auto" and submission.country:
        customer |= {"address": session["customer_details"]["address"], "_tax_ids": tax_ids}
        store.save(customer)
        events.record("customer.updated", customer, call)
    if session["mode"] != "setup":
        taxes.apply_to_session(session, country, tax_ids)
    method = _method(submission, customer, call)
    if session["mode"] == "setup":
        return _set_up(session, method, call)
    if not session["amount_total"]:
        return checkout_sessions.complete(session, call, "no_payment_required")
    if session["mode"] == "subscription" and not _due(session, customer):
        _subscribe(session, method["id"], None, call)
        return checkout_sessions.complete(session, call, "paid")
    intent = _payment_intent(session, customer, call)
    payment_intents.attempt(intent, method, call)
    return payment_changed(session, intent, call)


def _due(session: Body, customer: Body) -> int:
    """What the page charges: the customer's balance applies to the first invoice of a subscription only.

    https://docs.stripe.com/billing/customer/balance
    """
    total: int = session["amount_total"]
    if session["mode"] != "subscription":
        return total
    due = total + int(customer["balance"])
    return due if due >= amounts.minimum(session["currency"]) else 0


def _method(submission: Submission, customer: Body, call: Call) -> Body:
    if submission.saved:
        method = store.get("payment_method", submission.saved)
        if method["customer"] != customer["id"]:
            raise errors.unknown_object("payment_method", submission.saved)
        return method
    billing = payment_methods.billing_details(email=customer["email"], name=submission.name)
    if submission.card is not None:
        return payment_methods.new_card(submission.card, call, billing)
    if submission.type == "sepa_debit":
        return payment_methods.new_bank_debit(submission.iban, call, billing)
    return payment_methods.new(submission.type, call, billing=billing)


def _payment_intent(session: Body, customer: Body, call: Call) -> Body:
    """The session's intent: created at the first attempt, used again after a decline."""
    due = _due(session, customer)
    if found := intent_of(session):
        found["amount"] = due  # another country, another tax
        return store.save(found)
    params = dict(session["_intent_data"])
    if session["mode"] == "subscription":
        params = {"setup_future_usage": "off_session", "description": "Subscription creation"}
    intent = payment_intents.new(
        call,
        amount=due,
        currency=session["currency"],
        customer=session["customer"],
        allowed_payment_method_types=session.get("allowed_payment_method_types"),
        **params,
    )
    intent |= {"_session": session["id"], "_return_url": session["url"]}
    # A session in subscription mode has no payment_intent: its payment is that of the invoice.
    session["_intent" if session["mode"] == "subscription" else "payment_intent"] = intent["id"]
    store.save(session)
    return store.save(intent)


def intent_of(session: Body) -> Body | None:
    """The payment or setup intent of a session."""
    payment = session["payment_intent"] or session.get("_intent")
    return store.find("payment_intent", payment) or store.find("setup_intent", session["setup_intent"])


def _set_up(session: Body, method: Body, call: Call) -> Body:
    intent = setup_intents.new(call, customer=session["customer"])
    intent |= {"_session": session["id"], "_return_url": session["url"]}
    store.save(intent)
    session["setup_intent"] = intent["id"]
    store.save(session)
    setup_intents.attempt(intent, method, call)
    return setup_changed(session, intent, call)


def setup_changed(session: Body, intent: Body, call: Call) -> Body:
    """Complete an open session whose card is saved."""
    if intent["status"] != "succeeded" or session["status"] != "open":
        return session
    return checkout_sessions.complete(session, call, "no_payment_required")


def payment_changed(session: Body, intent: Body, call: Call) -> Body:
    """Complete an open session whose payment succeeded or is pending, or record that a pending one succeeded.

    The subscription of a session exists from its completion, with a delayed method before it is paid: the
    session is complete and unpaid, the invoice open. https://docs.stripe.com/checkout/fulfillment#delayed-notification
    and https://docs.stripe.com/billing/subscriptions/sepa-debit
    """
    succeeded = intent["status"] == "succeeded"
    if session["status"] == "open":
        if not succeeded and not payment_intents.is_pending(intent):
            return session
        if session["mode"] == "subscription":
            _subscribe(session, intent["payment_method"], intent, call)
        return checkout_sessions.complete(session, call, "paid" if succeeded else "unpaid")
    if session["status"] == "complete" and session["payment_status"] == "unpaid" and succeeded:
        session["payment_status"] = "paid"
        store.save(session)
        events.record("checkout.session.async_payment_succeeded", session, call)
    return session


def payment_failed(session: Body, call: Call) -> None:
    """Record that a pending payment failed. A decline on the page leaves the session open."""
    if session["status"] == "complete" and session["payment_status"] == "unpaid":
        events.record("checkout.session.async_payment_failed", session, call)


def _subscribe(session: Body, method_id: str, intent: Body | None, call: Call) -> None:
    """Create the subscription of a session, with the intent as its first payment; None: nothing is due."""
    payment_methods.attach(store.get("payment_method", method_id), session["customer"], call)
    subscription = subscriptions.start(
        call,
        customer=store.get("customer", session["customer"]),
        lines=[{"price": line["price"], "quantity": line["quantity"]} for line in session["_line_items"]],
        default_payment_method=method_id,
        metadata=session["_subscription_data"].get("metadata") or {},
        automatic_tax=session["automatic_tax"]["enabled"],
        paid_by=intent,
        billing_mode=session["_subscription_data"].get("billing_mode"),
    )
    session |= {"subscription": subscription["id"], "invoice": subscription["latest_invoice"]}
