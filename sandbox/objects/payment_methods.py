"""Payment methods: cards, wallets, bank debits and transfers; saved ones are attached to a customer.

Invariant: a method is attached to at most one customer, and cannot be used after it was detached.
https://docs.stripe.com/api/payment_methods and, for currencies and modes,
https://docs.stripe.com/payments/payment-methods/payment-method-support
"""

import re
from typing import Any

from django.utils.translation import gettext_lazy as _

from sandbox import errors, store
from sandbox.calls import Call
from sandbox.objects import events, stripe_test_cards, subscription_states
from sandbox.store import Body

# The types that can be offered, with their currencies; None is any.
CURRENCIES: dict[str, tuple[str, ...] | None] = {
    "card": None,
    "alipay": ("cny", "usd", "eur", "gbp", "hkd", "jpy", "sgd", "aud", "cad", "nzd", "myr"),
    "wechat_pay": ("cny", "usd", "eur", "gbp", "hkd", "jpy", "sgd", "aud", "cad", "chf", "dkk", "nok", "sek"),
    "customer_balance": ("usd", "eur", "gbp", "jpy", "mxn"),
    "sepa_debit": ("eur",),
}
REUSABLE = ("card", "sepa_debit")  # the types for later payments: setup and subscription mode
# Test accounts that fail; any other succeeds (https://docs.stripe.com/testing#sepa-direct-debit).
FAILING_IBANS = ("AT861904300235473202", "AT051904300235473205", "DE62370400440532013001")
NAMES = {
    "card": _("Card"),
    "alipay": "Alipay",
    "wechat_pay": "WeChat Pay",
    "customer_balance": _("Bank transfer"),
    "sepa_debit": _("SEPA debit"),
}


def types_for(currency: str, allowed: list[str] | None) -> list[str]:
    """The types that can pay in this currency, of those allowed (all when None)."""
    found = [
        name
        for name, currencies in CURRENCIES.items()
        if (allowed is None or name in allowed) and (currencies is None or currency in currencies)
    ]
    if not found:
        raise errors.StripeError(
            f"No valid payment method types for this configuration in {currency}.",
            code="payment_intent_invalid_parameter",
            param="allowed_payment_method_types",
        )
    return found


def billing_details(**details: Any) -> Body:
    address = dict.fromkeys(("city", "country", "line1", "line2", "postal_code", "state"))
    body = {"address": address, "email": None, "name": None, "phone": None, "tax_id": None}
    return body | {name: value for name, value in details.items() if value}


def new(kind: str, call: Call, *, billing: Body | None = None, details: Body | None = None) -> Body:
    """A payment method that is not attached to a customer."""
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
    """A card from a form, with the name of its test card; the number is not stored."""
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


def new_bank_debit(iban: str, call: Call, billing: Body | None = None) -> Body:
    """A SEPA debit of an account; the number is not stored."""
    details = {
        "bank_code": iban[4:9],
        "branch_code": "",
        "country": iban[:2],
        "fingerprint": f"Sandbox{iban[-9:]}",
        "generated_from": {"charge": None, "setup_attempt": None},
        "last4": iban[-4:],
    }
    body = new("sepa_debit", call, billing=billing, details=details)
    body["_fails"] = iban in FAILING_IBANS
    return store.save(body)


def test_card(method: Body) -> stripe_test_cards.TestCard:
    return stripe_test_cards.BY_NAME[method.get("_card", "visa")]


def usable(stripe_id: str, call: Call, param: str = "payment_method") -> Body:
    """The payment method of this id; `pm_card_…` (https://docs.stripe.com/testing) creates a new one."""
    if stripe_id.startswith("pm_card_"):
        card = stripe_test_cards.BY_NAME.get(stripe_id.removeprefix("pm_card_").removeprefix("visa_"))
        if card is None:
            raise errors.unknown_object("PaymentMethod", stripe_id, param)
        return new_card(stripe_test_cards.Entered(card, 12, 2034), call)
    return store.get("payment_method", stripe_id, param)


def create(call: Call) -> Body:
    """A SEPA debit; cards are created on payment pages and from `pm_card_…`."""
    params = call.params
    if params.get("type") != "sepa_debit":
        raise errors.unsupported("The sandbox creates SEPA debits only.", param="type")
    details = params.get("billing_details") or {}
    iban = re.sub(r"\s", "", (params.get("sepa_debit") or {}).get("iban", "")).upper()
    if not re.fullmatch(r"[A-Z]{2}[0-9]{2}[0-9A-Z]{11,30}", iban):
        raise errors.StripeError(
            "The IBAN is invalid.", code="invalid_bank_account_iban", param="sepa_debit[iban]"
        )
    billing = billing_details(email=details.get("email"), name=details.get("name"))
    return new_bank_debit(iban, call, billing)


def retrieve(call: Call) -> Body:
    return store.get("payment_method", call.ids["payment_method"])


def list_methods(call: Call) -> Body:
    customer = call.params.get("customer")
    if not customer:
        raise errors.missing("customer")
    store.get("customer", customer, "customer")
    return store.listing(
        "payment_method", call, "/v1/payment_methods", customer=customer, type=call.params.get("type")
    )


def attach_to_customer(call: Call) -> Body:
    method = usable(call.ids["payment_method"], call)
    return attach(method, store.get("customer", call.params["customer"], "customer")["id"], call)


def attach(method: Body, customer_id: str, call: Call) -> Body:
    """Attach a method to a customer."""
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


def detach_from_customer(call: Call) -> Body:
    return detach(retrieve(call), call)


def detach(method: Body, call: Call) -> Body:
    """Detach a method for good, and clear the defaults that name it.

    https://docs.stripe.com/api/payment_methods/detach
    """
    if not method["customer"]:
        raise errors.StripeError(
            "The payment method you provided is not attached to a customer so detachment is impossible."
        )
    previous, method["customer"], method["_detached"] = method["customer"], None, True
    store.save(method)
    customer = store.get("customer", previous)
    events.record("payment_method.detached", method, call, {"customer": previous})
    settings = customer["invoice_settings"]
    if settings["default_payment_method"] == method["id"]:
        customer["invoice_settings"] = settings | {"default_payment_method": None}
        store.save(customer)
        events.record("customer.updated", customer, call, {"invoice_settings": settings})
    for subscription in store.where("subscription", customer=previous, default_payment_method=method["id"]):
        if subscription["status"] not in subscription_states.ENDED:
            subscription_states.change(subscription, call, default_payment_method=None)
    return method


def update(call: Call) -> Body:
    """Change the expiry date of a card. https://docs.stripe.com/api/payment_methods/update"""
    method = retrieve(call)
    card = call.params.get("card") or {}
    return _change_card(method, call, "payment_method.updated", card)


def renew_by_network(method: Body, call: Call) -> Body:
    """The card network reports the replacement of an expired card: the method keeps its id.

    https://docs.stripe.com/payments/cards/overview#automatic-card-updates
    """
    card = {"exp_year": method["card"]["exp_year"] + 4, "last4": "1881"}
    return _change_card(method, call, "payment_method.automatically_updated", card)


def _change_card(method: Body, call: Call, event_type: str, card: dict[str, Any]) -> Body:
    previous = {name: method["card"][name] for name in card}
    if "metadata" in call.params:
        store.merge_metadata(method, call.params["metadata"])
    method["card"] |= card
    store.save(method)
    events.record(event_type, method, call, {"card": previous})
    return method


def refuse_from_now(method: Body, decline: str) -> Body:
    """The bank declines the card's payments from now on with this decline code."""
    method["_decline"] = decline
    return store.save(method)
