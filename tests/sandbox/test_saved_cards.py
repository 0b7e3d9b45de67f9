"""Which saved card pays, and what becomes of cards that are detached, replaced or declined."""

from typing import Any

import pytest
import stripe

from sandbox import calls, store
from sandbox.objects import payment_methods
from tests.sandbox.conftest import NOVEMBER, Buyer


def attach(v1: Any, customer: str, card: str = "mastercard") -> Any:
    return v1.payment_methods.attach(f"pm_card_{card}", {"customer": customer})


def renew(v1: Any, subscription: Any) -> Any:
    clock = v1.customers.retrieve(subscription.customer).test_clock
    v1.test_helpers.test_clocks.advance(clock, {"frozen_time": NOVEMBER + 30 * 86400 + 7200})
    return v1.subscriptions.retrieve(subscription.id, {"expand": ["latest_invoice"]})


def test_the_subscriptions_card_pays_before_the_customers(v1: Any, begin: Any, charges: Any) -> None:
    subscription = begin()
    other = attach(v1, subscription.customer)
    v1.subscriptions.update(subscription.id, {"default_payment_method": other.id})

    assert renew(v1, subscription).latest_invoice.default_payment_method is None
    assert charges()[0]["payment_method"] == other.id


def test_a_detached_card_is_no_default_any_more_and_cannot_be_used_again(
    v1: Any, begin: Any, event_types: Any
) -> None:
    subscription = begin()
    card = attach(v1, subscription.customer)
    v1.subscriptions.update(subscription.id, {"default_payment_method": card.id})

    v1.payment_methods.detach(card.id)

    assert v1.subscriptions.retrieve(subscription.id).default_payment_method is None
    assert "payment_method.detached" in event_types(card.id)
    for use in (
        lambda: v1.payment_methods.attach(card.id, {"customer": subscription.customer}),
        lambda: v1.payment_intents.create(
            {
                "amount": 900,
                "currency": "usd",
                "customer": subscription.customer,
                "payment_method": card.id,
                "confirm": True,
            }
        ),
    ):
        with pytest.raises(stripe.InvalidRequestError):
            use()


def test_a_new_card_pays_an_overdue_invoice_only_when_asked(v1: Any, begin: Any) -> None:
    subscription = begin()
    failing = attach(v1, subscription.customer, "chargeCustomerFail")
    v1.subscriptions.update(subscription.id, {"default_payment_method": failing.id})
    overdue = renew(v1, subscription)
    assert overdue.status == "past_due"

    v1.subscriptions.update(subscription.id, {"default_payment_method": attach(v1, subscription.customer).id})
    assert v1.subscriptions.retrieve(subscription.id).status == "past_due"

    assert v1.invoices.pay(overdue.latest_invoice.id).status == "paid"
    assert v1.subscriptions.retrieve(subscription.id).status == "active"
    with pytest.raises(stripe.InvalidRequestError):
        v1.invoices.pay(overdue.latest_invoice.id)


def test_a_failed_off_session_payment_can_be_confirmed_on_session(
    v1: Any, customer: Any, buyer: Buyer
) -> None:
    owner = customer("authenticationRequired")
    card = v1.customers.retrieve(owner.id).invoice_settings.default_payment_method
    with pytest.raises(stripe.CardError) as refused:
        v1.payment_intents.create(
            {
                "amount": 900,
                "currency": "usd",
                "customer": owner.id,
                "payment_method": card,
                "confirm": True,
                "off_session": True,
            }
        )
    failed = refused.value.error.payment_intent.id

    waiting = v1.payment_intents.confirm(
        failed, {"payment_method": card, "return_url": "http://shop.example/"}
    )
    url = waiting.next_action.redirect_to_url.url
    buyer.open(url)
    buyer.submit(url, decision="pass")

    assert buyer.redirect.startswith(f"http://shop.example/?payment_intent={failed}")
    assert v1.payment_intents.retrieve(failed).status == "succeeded"


def test_a_hard_decline_carries_the_issuers_advice(v1: Any, customer: Any) -> None:
    owner = customer("visa")
    card = v1.customers.retrieve(owner.id).invoice_settings.default_payment_method
    payment_methods.refuse_from_now(store.get("payment_method", card), "lost_card")
    with pytest.raises(stripe.CardError) as refused:
        v1.payment_intents.create(
            {
                "amount": 900,
                "currency": "usd",
                "customer": owner.id,
                "payment_method": card,
                "confirm": True,
                "off_session": True,
            }
        )
    assert (refused.value.error.decline_code, refused.value.error.advice_code) == (
        "lost_card",
        "do_not_try_again",
    )


def test_a_card_replaced_by_the_network_keeps_its_id(v1: Any, customer: Any, event_types: Any) -> None:
    owner = customer("visa")
    card = v1.customers.retrieve(owner.id).invoice_settings.default_payment_method
    before = v1.payment_methods.retrieve(card).card.exp_year

    payment_methods.renew_by_network(store.get("payment_method", card), calls.Call(now=NOVEMBER))
    v1.payment_methods.update(card, {"card": {"exp_month": 5}})

    renewed = v1.payment_methods.retrieve(card).card
    assert (renewed.exp_year, renewed.exp_month, renewed.last4) == (before + 4, 5, "1881")
    assert event_types(card)[-2:] == ["payment_method.automatically_updated", "payment_method.updated"]
