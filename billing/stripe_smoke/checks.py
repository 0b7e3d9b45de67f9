"""The steps of the check: what Stripe is expected to do, and what it did.

Without a browser no payment page can be paid: the pages are opened with the product's parameters and expired,
and the payment behind them is made through the API with a test payment method.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.conf import settings

from billing import stripe_gateway
from billing.purchases import checkout
from billing.stripe_gateway import StripeObject
from billing.stripe_smoke.objects import TestObjects
from pricing.catalogue import payment_methods

HOUR = 3600
SMALL, LARGE = 1000, 3000  # minor units each month
IBAN = "AT611904300234573201"  # https://docs.stripe.com/testing#sepa-direct-debit: succeeds


@dataclass(frozen=True)
class Fact:
    """One comparison of a step."""

    step: str
    what: str
    expected: Any
    actual: Any

    @property
    def holds(self) -> bool:
        return bool(self.expected == self.actual)


def run(objects: TestObjects, currency: str) -> Iterator[Fact]:
    """All steps in order; a step that fails yields what Stripe answered, and the next one follows."""
    state: dict[str, Any] = {"currency": currency}
    for name, step in STEPS.items():
        try:
            for what, expected, actual in step(objects, state):
                yield Fact(name, what, expected, actual)
        except (stripe_gateway.StripeError, KeyError, IndexError, TypeError) as error:
            yield Fact(name, "Stripe's answer", "no error", f"{type(error).__name__}: {error}")


Facts = Iterator[tuple[str, Any, Any]]


def _pack(objects: TestObjects, state: dict[str, Any]) -> Facts:
    customer, card = objects.customer()
    state |= {"customer": customer, "card": card}
    currency = state["currency"]
    data = {"currency": currency, "unit_amount": SMALL, "product_data": {"name": "Smoke test"}}
    page = _page(objects, customer, "pack") | {
        "mode": "payment",
        "line_items": [{"price_data": data, "quantity": 1}],
        **checkout.payment_method_params(payment_methods.of_packs(currency), currency),
    }
    yield from _open_and_expire(objects, page, "pack")
    payment = objects.pay(customer, card, SMALL, currency, "pack")
    state["payment"] = payment
    yield "status of the payment", "succeeded", payment["status"]
    yield "amount received", SMALL, payment["amount_received"]
    again = objects.pay(customer, card, SMALL, currency, "pack")
    yield "the same request again", payment["id"], again["id"]


def _plan(objects: TestObjects, state: dict[str, Any]) -> Facts:
    currency = state["currency"]
    state |= {"small": _price(objects, SMALL, currency), "large": _price(objects, LARGE, currency)}
    plan = f"smoke-{objects.run}-{SMALL}"
    found = stripe_gateway.find_price(currency=currency, amount=SMALL, interval="month", plan=plan)
    yield "the price found by its metadata", state["small"], found
    page = _page(objects, state["customer"], "plan") | {
        "mode": "subscription",
        "line_items": [{"price": state["small"], "quantity": 1}],
        "subscription_data": {"billing_mode": stripe_gateway.BILLING_MODE},
        **checkout.payment_method_params(["card"], currency),
    }
    yield from _open_and_expire(objects, page, "plan")
    subscription = objects.subscribe(state["customer"], state["small"], state["card"], "plan")
    state["subscription"] = subscription["id"]
    invoice = subscription["latest_invoice"]
    yield "status of the subscription", "active", subscription["status"]
    yield "billing mode", "flexible", subscription["billing_mode"]["type"]
    yield "first invoice", ("paid", "subscription_create", SMALL), _facts_of(invoice)


def _renewal(objects: TestObjects, state: dict[str, Any]) -> Facts:
    end = _item(_subscription(state))["current_period_end"]
    objects.advance(end + 60)
    subscription = _subscription(state)
    yield "status when the period has begun", "active", subscription["status"]
    yield "start of the new period", end, _item(subscription)["current_period_start"]
    invoice = subscription["latest_invoice"]
    yield "invoice in its first hour", ("draft", "subscription_cycle"), _facts_of(invoice)[:2]
    objects.advance(end + 2 * HOUR)
    invoice = _subscription(state)["latest_invoice"]
    yield "invoice after two hours", ("paid", "subscription_cycle", SMALL), _facts_of(invoice)


def _upgrade(objects: TestObjects, state: dict[str, Any]) -> Facts:
    item = _item(_subscription(state))
    before = stripe_gateway.create_invoice_preview(
        customer=state["customer"],
        subscription_id=state["subscription"],
        item=item["id"],
        price=state["large"],
        at=objects.now,
    )
    params = {
        "items": [{"id": item["id"], "price": state["large"]}],
        "billing_cycle_anchor": {"type": "now"},
        "proration_behavior": "always_invoice",
        "proration_date": objects.now,
        "payment_behavior": "error_if_incomplete",
    }
    after = _update(objects, state, params, "upgrade")
    yield "invoice", ("paid", "subscription_update", before["amount_due"]), _facts_of(after["latest_invoice"])
    yield "costs less than a whole period", True, 0 < before["amount_due"] < LARGE
    yield "price", state["large"], _item(after)["price"]["id"]
    yield "a new period begins", True, abs(_item(after)["current_period_start"] - objects.now) <= 60


def _downgrade(objects: TestObjects, state: dict[str, Any]) -> Facts:
    before = _subscription(state)
    item = _item(before)
    params = {
        "items": [{"id": item["id"], "price": state["small"]}],
        "proration_behavior": "none",
        "metadata": {"plan_in_force": f"{LARGE}:{item['current_period_end']}:smoke"},
    }
    after = _update(objects, state, params, "downgrade")
    yield "price", state["small"], _item(after)["price"]["id"]
    yield "end of the period", item["current_period_end"], _item(after)["current_period_end"]
    yield "no new invoice", before["latest_invoice"]["id"], after["latest_invoice"]["id"]


def _card_change(objects: TestObjects, state: dict[str, Any]) -> Facts:
    """The subscription's own default card wins, so that it is changed too.

    https://docs.stripe.com/api/subscriptions/object#subscription_object-default_payment_method
    """
    card = objects.save_card(state["customer"], "mastercard")
    _update(objects, state, {"default_payment_method": card}, "card")
    end = _item(_subscription(state))["current_period_end"]
    objects.advance(end + 2 * HOUR)
    invoice = stripe_gateway.retrieve_invoice(_subscription(state)["latest_invoice"]["id"])
    yield "renewal", ("paid", "subscription_cycle", SMALL), _facts_of(invoice)
    charge = stripe_gateway.retrieve_payment_intent(_payment_of(invoice))["latest_charge"]
    yield "card that was charged", "4444", charge["payment_method_details"]["card"]["last4"]


def _refund(objects: TestObjects, state: dict[str, Any]) -> Facts:
    payment, key = str(state["payment"]["id"]), f"smoke:{objects.run}:refund"
    refund = stripe_gateway.create_refund(key=key, payment_id=payment, amount=400, refund=objects.run)
    yield "refund", ("succeeded", 400), (refund["status"], refund["amount"])
    again = stripe_gateway.create_refund(key=key, payment_id=payment, amount=400, refund=objects.run)
    yield "the same request again", refund["id"], again["id"]
    found = stripe_gateway.find_refund(payment_id=payment, refund=objects.run)
    yield "the refund found by its metadata", refund["id"], found and found["id"]
    too_much = _error_of(
        lambda: stripe_gateway.create_refund(
            key=f"{key} rest", payment_id=payment, amount=SMALL, refund="more"
        )
    )
    yield "more than is left", "InvalidRequest", too_much


def _dispute(objects: TestObjects, state: dict[str, Any]) -> Facts:
    customer, card = objects.customer("createDispute")
    payment = str(objects.pay(customer, card, SMALL, state["currency"], "dispute")["id"])
    found = objects.wait(lambda: objects.disputes_of(payment), lambda page: bool(page["data"]))
    dispute = found["data"][0]
    facts = (dispute["status"], dispute["reason"], dispute["amount"])
    yield "dispute", ("needs_response", "fraudulent", SMALL), facts
    refused = _error_of(
        lambda: stripe_gateway.create_refund(
            key=f"smoke:{objects.run}:disputed", payment_id=payment, amount=SMALL, refund="disputed"
        )
    )
    yield "refund of the disputed payment", "InvalidRequest", refused


def _sepa_plan(objects: TestObjects, state: dict[str, Any]) -> Facts:
    """A debit takes days: the subscription is active while its first payment is processing.

    https://docs.stripe.com/billing/subscriptions/sepa-debit
    """
    customer, _card = objects.customer("visa")
    method = objects.save_bank_account(customer, IBAN)
    price = _price(objects, SMALL, "eur")
    subscription = objects.subscribe(customer, price, method, "sepa")
    yield "status of the subscription", "active", subscription["status"]
    invoice = stripe_gateway.retrieve_invoice(subscription["latest_invoice"]["id"])
    yield "first invoice is open or paid", True, invoice["status"] in {"open", "paid"}
    intent = stripe_gateway.retrieve_payment_intent(_payment_of(invoice))
    yield "its payment is processing or done", True, intent["status"] in {"processing", "succeeded"}
    yield "method", ["sepa_debit"], [intent["latest_charge"]["payment_method_details"]["type"]]


def _auto_top_up(objects: TestObjects, state: dict[str, Any]) -> Facts:
    customer, currency = state["customer"], state["currency"]
    paid = objects.pay(customer, objects.save_card(customer, "visa"), SMALL, currency, "top-up")
    yield "saved card", "succeeded", paid["status"]
    for card, expected in (
        ("chargeCustomerFail", "CardDeclined"),
        ("authenticationRequired", "AuthenticationRequired"),
    ):
        method = objects.save_card(customer, card)
        outcome = _error_of(partial(objects.pay, customer, method, SMALL, currency, card))
        yield f"card {card}", expected, outcome
    since = stripe_gateway.list_recent_events(100)
    yield "events are readable", True, "payment_intent.succeeded" in {event["type"] for event in since}


def _page(objects: TestObjects, customer: str, name: str) -> StripeObject:
    return {
        "customer": customer,
        "client_reference_id": f"smoke-{objects.run}-{name}",
        "success_url": settings.SITE_URL,
        "cancel_url": settings.SITE_URL,
    }


def _open_and_expire(objects: TestObjects, params: StripeObject, name: str) -> Facts:
    page = stripe_gateway.create_checkout_session(key=f"smoke:{objects.run}:page {name}", params=params)
    yield "payment page", ("open", "unpaid"), (page["status"], page["payment_status"])
    # Stripe leaves out what is not enabled in the dashboard.
    listed = sorted(params["allowed_payment_method_types"])
    yield "payment methods on the page", listed, sorted(page["payment_method_types"])
    yield "page after it is closed", "expired", stripe_gateway.expire_checkout_session(page["id"])["status"]


def _price(objects: TestObjects, amount: int, currency: str) -> str:
    plan = f"smoke-{objects.run}-{amount}"
    key = f"smoke:{objects.run}:price {amount} {currency}"
    return stripe_gateway.create_price(
        key=key, name="Smoke test", currency=currency, amount=amount, interval="month", plan=plan
    )


def _subscription(state: dict[str, Any]) -> StripeObject:
    return stripe_gateway.retrieve_subscription(state["subscription"])


def _update(objects: TestObjects, state: dict[str, Any], params: StripeObject, name: str) -> StripeObject:
    key = f"smoke:{objects.run}:{name}"
    return stripe_gateway.update_subscription(key=key, subscription_id=state["subscription"], params=params)


def _item(subscription: StripeObject) -> StripeObject:
    item: StripeObject = subscription["items"]["data"][0]
    return item


def _payment_of(invoice: StripeObject) -> str:
    """The id of an invoice's PaymentIntent (https://docs.stripe.com/api/invoice-payment)."""
    intent = invoice["payments"]["data"][0]["payment"]["payment_intent"]
    return str(intent["id"] if isinstance(intent, dict) else intent)


def _facts_of(invoice: StripeObject) -> tuple[Any, ...]:
    return invoice["status"], invoice["billing_reason"], invoice["amount_due"]


def _error_of(act: Callable[[], Any]) -> str:
    """The name of the gateway's error; "no error" when there is none."""
    try:
        act()
    except stripe_gateway.StripeError as error:
        return type(error).__name__
    return "no error"


STEPS: dict[str, Callable[[TestObjects, dict[str, Any]], Facts]] = {
    "pack": _pack,
    "plan": _plan,
    "renewal": _renewal,
    "upgrade": _upgrade,
    "downgrade": _downgrade,
    "card change": _card_change,
    "refund": _refund,
    "dispute": _dispute,
    "SEPA plan": _sepa_plan,
    "automatic top-up": _auto_top_up,
}
