"""Setup intents: save a card without a payment.

Invariant: the card of a succeeded setup intent is attached to its customer.
https://docs.stripe.com/payments/setup-intents
"""

from django.conf import settings

from sandbox import errors, store
from sandbox.calls import Call
from sandbox.objects import clocks, events, payment_intents, payment_methods, stripe_test_cards
from sandbox.store import Body


def new(call: Call, *, customer: str) -> Body:
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
        "description": None,
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
        "usage": "off_session",
    }
    store.add(body)
    events.record("setup_intent.created", body, call)
    return body


def create(call: Call) -> Body:
    """Save a payment method through the API, with its mandate where its type needs one.

    https://docs.stripe.com/api/setup_intents/create
    """
    params = call.params
    if not (params.get("confirm") and params.get("customer") and params.get("payment_method")):
        raise errors.unsupported("The sandbox confirms at once, for a customer.", param="confirm")
    customer = store.get("customer", params["customer"], "customer")
    method = payment_methods.usable(params["payment_method"], call)
    call = clocks.of_customer(call, customer)
    if method["type"] == "sepa_debit" and not params.get("mandate_data"):
        raise errors.missing("mandate_data")
    body = new(call, customer=customer["id"])
    body["payment_method_types"] = params.get("allowed_payment_method_types") or [method["type"]]
    return attempt(body, method, call)


def attempt(body: Body, method: Body, call: Call, *, authenticated: bool = False) -> Body:
    """Save the card; the status may become requires_action. Raises payment_intents.Declined."""
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
    payment_methods.attach(method, body["customer"], call)
    body |= {"status": "succeeded", "next_action": None}
    store.save(body)
    events.record("setup_intent.succeeded", body, call)
    return body


def _declined(body: Body, method: Body, decline: str, call: Call) -> payment_intents.Declined:
    code, message = stripe_test_cards.DECLINES[decline]
    error = {"type": "card_error", "code": code, "decline_code": decline, "message": message}
    body |= {"status": "requires_payment_method", "last_setup_error": error, "payment_method": None}
    store.save(body)
    events.record("setup_intent.setup_failed", body, call)
    return payment_intents.Declined(
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
        "message": "The customer did not authenticate the payment method.",
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
