"""Payment methods: cards and the methods that settle later; saved ones are attached to a customer.

Invariant: a method is attached to at most one customer, and once detached it is never used again.
"""

from typing import Any

from django.utils.translation import gettext_lazy as _

from sandbox import errors, store
from sandbox.calls import Call
from sandbox.objects import events, stripe_test_cards
from sandbox.store import Body

# Offered by default, and in which currencies; None is any.
OFFERED: dict[str, tuple[str, ...] | None] = {
    "card": None,
    "alipay": ("cny", "usd", "eur", "gbp", "hkd", "jpy", "sgd", "aud", "cad", "nzd", "myr"),
    "wechat_pay": ("cny", "usd", "eur", "gbp", "hkd", "jpy", "sgd", "aud", "cad", "chf", "dkk", "nok", "sek"),
    "customer_balance": ("usd", "eur", "gbp", "jpy", "mxn"),
    "sepa_debit": ("eur",),
}
REUSABLE = ("card", "sepa_debit")
NAMES = {
    "card": _("Card"),
    "alipay": "Alipay",
    "wechat_pay": "WeChat Pay",
    "customer_balance": _("Bank transfer"),
    "sepa_debit": _("SEPA Direct Debit"),
}


def offered(currency: str, allowed: list[str] | None, excluded: list[str] | None = None) -> list[str]:
    """The method types that can pay in this currency, of those allowed (all when None)."""
    found = [
        name
        for name, currencies in OFFERED.items()
        if (allowed is None or name in allowed)
        and name not in (excluded or [])
        and (currencies is None or currency in currencies)
    ]
    if not found:
        raise errors.StripeError(
            f"No valid payment method types for this configuration in {currency}.",
            code="payment_intent_invalid_parameter",
            param="allowed_payment_method_types",
        )
    return found


def billing_details(**given: Any) -> Body:
    address = {
        "city": None,
        "country": None,
        "line1": None,
        "line2": None,
        "postal_code": None,
        "state": None,
    }
    details = {"address": address, "email": None, "name": None, "phone": None, "tax_id": None}
    return details | {name: value for name, value in given.items() if value}


def new(kind: str, call: Call, *, billing: Body | None = None, details: Body | None = None) -> Body:
    """A payment method that belongs to nobody yet."""
    body = {
        "id": store.new_id("payment_method"),
        "object": "payment_method",
        "allow_redisplay": "unspecified",
        "billing_details": billing or billing_details(),
        "created": call.now,
        "customer": None,
        "customer_account": None,
        "livemode": False,
        "metadata": {},
        "type": kind,
        kind: details or {},
    }
    return store.add(body)


def new_card(entered: stripe_test_cards.Entered, call: Call, billing: Body | None = None) -> Body:
    """A card from a form; the test card's behaviour goes with it, its number does not."""
    card = entered.card
    details = {
        "brand": card.brand,
        "checks": {"address_line1_check": None, "address_postal_code_check": None, "cvc_check": "pass"},
        "country": card.country,
        "display_brand": card.brand,
        "exp_month": entered.exp_month,
        "exp_year": entered.exp_year,
        "fingerprint": f"Sandbox{card.name}"[:16],
        "funding": "credit",
        "generated_from": None,
        "last4": card.number[-4:],
        "networks": {"available": [card.brand], "preferred": None},
        "regulated_status": "unregulated",
        "three_d_secure_usage": {"supported": True},
        "wallet": None,
    }
    body = new("card", call, billing=billing, details=details)
    body["_card"] = card.name
    return store.save(body)


def test_card(method: Body) -> stripe_test_cards.TestCard:
    return stripe_test_cards.BY_NAME[method.get("_card", "visa")]


def usable(stripe_id: str, call: Call, param: str = "payment_method") -> Body:
    """The payment method of this id; `pm_card_…` names of Stripe's documentation make a new one."""
    if stripe_id.startswith("pm_card_"):
        card = stripe_test_cards.BY_NAME.get(stripe_id.removeprefix("pm_card_").removeprefix("visa_"))
        if card is None:
            raise errors.unknown_object("PaymentMethod", stripe_id, param)
        return new_card(stripe_test_cards.Entered(card, 12, 2034), call)
    return store.get("payment_method", stripe_id, param)


def create(call: Call) -> Body:
    """A card by its number or by a `tok_…` token, or another type without details."""
    kind = call.params.get("type", "card")
    billing = call.params.get("billing_details") or {}
    if kind != "card":
        return _with_metadata(new(kind, call, billing=billing_details(**billing)), call)
    given = call.params.get("card") or {}
    if "token" in given:
        card = stripe_test_cards.BY_NAME.get(given["token"].removeprefix("tok_"))
        entered = stripe_test_cards.Entered(card, 12, 2034) if card else None
    else:
        expiry = f"{given.get('exp_month', ''):0>2}/{str(given.get('exp_year', ''))[-2:]}"
        today = call.moment
        entered, _wrong = stripe_test_cards.read_form(
            number=given.get("number", ""),
            expiry=expiry,
            cvc=given.get("cvc", "123"),
            year=today.year,
            month=today.month,
        )
    if entered is None:
        raise errors.StripeError(
            "Your card number is incorrect.",
            status=402,
            type="card_error",
            code="incorrect_number",
            param="card[number]",
        )
    return _with_metadata(new_card(entered, call, billing_details(**billing)), call)


def _with_metadata(method: Body, call: Call) -> Body:
    method["metadata"] = call.params.get("metadata") or {}
    return store.save(method)


def retrieve(call: Call) -> Body:
    return store.get("payment_method", call.ids["payment_method"])


def retrieve_of_customer(call: Call) -> Body:
    method = retrieve(call)
    if method["customer"] != call.ids["customer"]:
        raise errors.unknown_object("payment_method", method["id"])
    return method


def list_methods(call: Call) -> Body:
    customer = call.params.get("customer")
    if not customer:
        raise errors.missing("customer")
    store.get("customer", customer, "customer")
    return store.listing(
        "payment_method", call, "/v1/payment_methods", customer=customer, type=call.params.get("type")
    )


def list_of_customer(call: Call) -> Body:
    customer = store.get("customer", call.ids["customer"])["id"]
    url = f"/v1/customers/{customer}/payment_methods"
    filters = {name: call.params.get(name) for name in ("type", "allow_redisplay")}
    return store.listing("payment_method", call, url, customer=customer, **filters)


def attach_by_api(call: Call) -> Body:
    method = usable(call.ids["payment_method"], call)
    return attach(method, store.get("customer", call.params["customer"], "customer")["id"], call)


def attach(method: Body, customer_id: str, call: Call) -> Body:
    """Save a method for a customer."""
    if method["customer"] == customer_id:
        return method
    if method["customer"] or method.get("_detached"):
        raise errors.StripeError(
            "The payment method you provided is already attached to a customer, or was detached from one."
        )
    method["customer"] = customer_id
    store.save(method)
    events.record("payment_method.attached", method, call)
    return method


def detach(call: Call) -> Body:
    method = retrieve(call)
    if not method["customer"]:
        raise errors.StripeError(
            "The payment method you provided is not attached to a customer so detachment is impossible."
        )
    former, method["customer"], method["_detached"] = method["customer"], None, True
    store.save(method)
    customer = store.get("customer", former)
    if customer["invoice_settings"]["default_payment_method"] == method["id"]:
        customer["invoice_settings"]["default_payment_method"] = None
        store.save(customer)
    events.record("payment_method.detached", method, call, {"customer": former})
    return method


def update(call: Call) -> Body:
    method = retrieve(call)
    for name in ("billing_details", "metadata", "allow_redisplay"):
        if name in call.params:
            given = call.params[name]
            method[name] = method[name] | given if isinstance(given, dict) else given
    store.save(method)
    events.record("payment_method.updated", method, call)
    return method
