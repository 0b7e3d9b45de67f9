"""Setup intents: saving a payment method without paying.

Invariant: a succeeded one has its method attached to its customer.
"""

from typing import Any

from django.conf import settings

from sandbox import errors, store
from sandbox.calls import Call
from sandbox.objects import clocks, customers, events, payment_methods, payments, stripe_test_cards
from sandbox.store import Body


def new(call: Call, *, customer: str | None, **given: Any) -> Body:
    intent_id = store.new_id("setup_intent")
    body = {
        "id": intent_id,
        "object": "setup_intent",
        "application": None,
        "automatic_payment_methods": {"allow_redirects": "always", "enabled": True},
        "cancellation_reason": None,
        "client_secret": f"{intent_id}_secret_{store.random_text(25)}",
        "created": call.now,
        "customer": customer,
        "customer_account": None,
        "description": given.get("description"),
        "excluded_payment_method_types": None,
        "flow_directions": None,
        "last_setup_error": None,
        "latest_attempt": None,
        "livemode": False,
        "mandate": None,
        "metadata": {},
        "next_action": None,
        "on_behalf_of": None,
        "payment_method": None,
        "payment_method_configuration_details": None,
        "payment_method_options": {},
        "payment_method_types": ["card"],
        "single_use_mandate": None,
        "status": "requires_payment_method",
        "usage": given.get("usage", "off_session"),
    }
    customers.merge_metadata(body, given.get("metadata") or {})
    store.add(body)
    events.record("setup_intent.created", body, call)
    return body


def create(call: Call) -> Body:
    given = dict(call.params)
    customer = given.pop("customer", None)
    if customer:
        call = clocks.of_customer(call, store.get("customer", customer, "customer"))
    body = new(call, customer=customer, **given)
    if given.get("confirm"):
        return _confirm(body, call)
    return body


def confirm(call: Call) -> Body:
    return _confirm(retrieve(call), call)


def _confirm(body: Body, call: Call) -> Body:
    chosen = call.params.get("payment_method") or body["payment_method"]
    if not chosen:
        raise errors.missing("payment_method")
    body["_return_url"] = call.params.get("return_url")
    return attempt(body, payment_methods.usable(chosen, call), call)


def attempt(body: Body, method: Body, call: Call, *, authenticated: bool = False) -> Body:
    """Save the method. Raises payments.Declined; the result may also be requires_action."""
    card = payment_methods.test_card(method)
    body["payment_method"] = method["id"]
    if card.decline and card.authentication == "never":
        raise _declined(body, method, card.decline, call)
    if card.authentication != "never" and not authenticated:
        url = f"{settings.SITE_URL}/sandbox/authenticate/{body['id']}"
        redirect = {"return_url": body.get("_return_url"), "url": url}
        body |= {
            "status": "requires_action",
            "next_action": {"type": "redirect_to_url", "redirect_to_url": redirect},
        }
        store.save(body)
        events.record("setup_intent.requires_action", body, call)
        return body
    method["_set_up"] = True
    store.save(method)
    if body["customer"]:
        payment_methods.attach(method, body["customer"], call)
    body |= {"status": "succeeded", "next_action": None}
    store.save(body)
    events.record("setup_intent.succeeded", body, call)
    return body


def _declined(body: Body, method: Body, decline: str, call: Call) -> payments.Declined:
    code, message = stripe_test_cards.DECLINES[decline]
    error = {"type": "card_error", "code": code, "decline_code": decline, "message": message}
    body |= {"status": "requires_payment_method", "last_setup_error": error, "payment_method": None}
    store.save(body)
    events.record("setup_intent.setup_failed", body, call)
    return payments.Declined(
        message,
        status=402,
        type="card_error",
        code=code,
        decline_code=decline,
        setup_intent=store.public(body),
    )


def fail_authentication(body: Body, call: Call) -> Body:
    error = {
        "type": "invalid_request_error",
        "code": "setup_intent_authentication_failure",
        "message": "The buyer did not authenticate the payment method.",
    }
    body |= {
        "status": "requires_payment_method",
        "last_setup_error": error,
        "payment_method": None,
        "next_action": None,
    }
    store.save(body)
    events.record("setup_intent.setup_failed", body, call)
    return body


def retrieve(call: Call) -> Body:
    return store.get("setup_intent", call.ids["intent"])


def list_intents(call: Call) -> Body:
    return store.listing(
        "setup_intent",
        call,
        "/v1/setup_intents",
        customer=call.params.get("customer"),
        payment_method=call.params.get("payment_method"),
    )


def cancel(call: Call) -> Body:
    body = retrieve(call)
    if body["status"] in ("succeeded", "canceled"):
        raise errors.StripeError(
            f"This SetupIntent is {body['status']}.", code="setup_intent_unexpected_state"
        )
    body |= {"status": "canceled", "cancellation_reason": call.params.get("cancellation_reason")}
    store.save(body)
    events.record("setup_intent.canceled", body, call)
    return body
