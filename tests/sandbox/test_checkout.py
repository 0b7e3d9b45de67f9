"""The hosted checkout page."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
import stripe
import time_machine
from django.db import connections
from django.utils import timezone

from sandbox import scheduled_actions
from tests.sandbox.conftest import CARD, US_TRANSFER, Buyer


def test_a_payment_redirects_to_the_success_url(v1: Any, checkout: Any, buyer: Any, event_types: Any) -> None:
    session = checkout(metadata={"purchase": "p1"}, payment_intent_data={"metadata": {"purchase": "p1"}})
    page = buyer.open(session.url)
    assert "1,000 credits" in buyer.text
    assert "$10.00" in buyer.text
    assert "unsafe-inline" not in page.headers["Content-Security-Policy"]
    assert "<style" not in buyer.text and "onclick" not in buyer.text
    buyer.pay(session.url)
    assert buyer.redirect == f"http://shop.example/done?session={session.id}"
    paid = v1.checkout.sessions.retrieve(session.id, {"expand": ["payment_intent"]})
    assert (paid.status, paid.payment_status, paid.amount_total) == ("complete", "paid", 1000)
    assert paid.customer_details.email == "ann@example.org"
    assert paid.payment_intent.metadata.purchase == "p1"
    assert event_types()[-4:] == [
        "payment_intent.created",
        "charge.succeeded",
        "payment_intent.succeeded",
        "checkout.session.completed",
    ]


def test_a_completed_session_is_not_paid_again(checkout: Any, buyer: Any, charges: Any) -> None:
    session = checkout()
    buyer.pay(session.url)
    again = buyer.open(session.url)
    assert again.status_code == 200
    assert "Checkout completed" in buyer.text
    assert len(charges()) == 1


def test_each_invalid_field_has_a_message(checkout: Any, buyer: Any) -> None:
    answer = buyer.pay(checkout().url, "4242 4242 4242 4241", expiry="01/20", cvc="12")
    assert answer.status_code == 422
    for words in ("card number is not valid", "has expired", "3 digits"):
        assert words in buyer.text
    assert "4242 4242 4242 4241" not in buyer.text


def test_a_real_card_is_refused(checkout: Any, buyer: Any) -> None:
    buyer.pay(checkout().url, "4111 1111 1111 1111")
    assert "Only test cards are accepted" in buyer.text


def test_after_a_decline_another_card_pays_the_same_intent(
    v1: Any, checkout: Any, buyer: Any, charges: Any
) -> None:
    session = checkout()
    buyer.pay(session.url, "4000 0000 0000 9995")
    assert "Your card has insufficient funds." in buyer.text
    buyer.pay(session.url)
    assert buyer.redirect.startswith("http://shop.example/done")
    assert [charge["status"] for charge in charges()] == ["succeeded", "failed"]
    assert len(v1.payment_intents.list().data) == 1


@pytest.mark.parametrize("number", ["4000 0025 0000 3155", "4000 0027 6000 3184"])
def test_a_failed_authentication_can_be_repeated(v1: Any, checkout: Any, buyer: Any, number: str) -> None:
    session = checkout()
    buyer.pay(session.url, number)
    bank = buyer.redirect
    assert "/sandbox/authenticate/" in bank
    buyer.open(bank)
    buyer.submit(bank, decision="fail")
    assert buyer.redirect.endswith(f"/sandbox/checkout/{session.id}")
    buyer.open(session.url)
    assert "unable to authenticate" in buyer.text
    buyer.pay(session.url, number)
    buyer.open(buyer.redirect)
    buyer.submit(bank, decision="pass")
    assert buyer.redirect.startswith("http://shop.example/done")
    assert v1.checkout.sessions.retrieve(session.id).payment_status == "paid"


@pytest.mark.fault("P5")
@pytest.mark.parametrize("method", ["alipay", "wechat_pay"])
def test_a_wallet_payment_can_settle_later(
    v1: Any, checkout: Any, buyer: Any, event_types: Any, method: str
) -> None:
    session = checkout()
    buyer.open(session.url)
    buyer.submit(session.url, method=method)
    wallet = buyer.redirect
    buyer.open(wallet)
    buyer.submit(wallet, decision="later")
    assert buyer.redirect.startswith("http://shop.example/done")
    assert v1.checkout.sessions.retrieve(session.id).payment_status == "unpaid"
    assert event_types(session.id) == ["checkout.session.completed"]
    scheduled_actions.settle_pending(timezone.now())
    assert v1.checkout.sessions.retrieve(session.id).payment_status == "paid"
    assert event_types(session.id)[-1] == "checkout.session.async_payment_succeeded"


def test_a_wallet_payment_succeeds_or_is_refused(v1: Any, checkout: Any, buyer: Any) -> None:
    session = checkout()
    for decision, expected in (("fail", session.url.rpartition("/")[2]), ("pass", "shop.example/done")):
        buyer.open(session.url)
        buyer.submit(session.url, method="alipay")
        wallet = buyer.redirect
        buyer.open(wallet)
        buyer.submit(wallet, decision=decision)
        assert expected in buyer.redirect
    assert v1.checkout.sessions.retrieve(session.id).payment_status == "paid"


@pytest.mark.fault("P5")
@pytest.mark.parametrize(
    ("succeeded", "event"), [(True, "async_payment_succeeded"), (False, "async_payment_failed")]
)
def test_a_bank_transfer_settles_or_fails_later(
    v1: Any, checkout: Any, buyer: Any, customer: Any, event_types: Any, succeeded: bool, event: str
) -> None:
    session = checkout(
        customer=customer(card=None).id,
        allowed_payment_method_types=["customer_balance"],
        payment_method_options={"customer_balance": US_TRANSFER},
    )
    buyer.open(session.url)
    buyer.submit(session.url, method="customer_balance")
    assert buyer.redirect.startswith("http://shop.example/done")
    intent = v1.payment_intents.retrieve(v1.checkout.sessions.retrieve(session.id).payment_intent)
    assert intent.next_action.type == "display_bank_transfer_instructions"
    scheduled_actions.settle_pending(timezone.now(), succeeded=succeeded)
    assert event_types(session.id) == ["checkout.session.completed", f"checkout.session.{event}"]


def test_setup_future_usage_saves_the_card(v1: Any, checkout: Any, buyer: Any, customer: Any) -> None:
    owner = customer(card=None)
    session = checkout(customer=owner.id, payment_intent_data={"setup_future_usage": "off_session"})
    buyer.pay(session.url, "4000 0025 0000 3155")
    buyer.open(bank := buyer.redirect)
    buyer.submit(bank, decision="pass")
    card = v1.payment_methods.list({"customer": owner.id}).data[0]
    assert card.card.last4 == "3155"
    params = {
        "amount": 700,
        "currency": "usd",
        "customer": owner.id,
        "payment_method": card.id,
        "confirm": True,
    }
    assert v1.payment_intents.create(params | {"off_session": True}).status == "succeeded"


def test_a_saved_card_is_offered_again(v1: Any, checkout: Any, buyer: Any, customer: Any) -> None:
    owner = customer("mastercard")
    card = v1.customers.retrieve(owner.id).invoice_settings.default_payment_method
    session = checkout(customer=owner.id)
    buyer.open(session.url)
    assert "Mastercard ending in 4444" in buyer.text
    buyer.submit(session.url, method=card)
    assert buyer.redirect.startswith("http://shop.example/done")


def test_setup_mode_saves_a_card_without_a_payment(v1: Any, buyer: Any, customer: Any, charges: Any) -> None:
    owner = customer(card=None)
    session = v1.checkout.sessions.create(
        {"mode": "setup", "currency": "usd", "customer": owner.id, "success_url": "http://shop.example/cards"}
    )
    buyer.pay(session.url)
    assert buyer.redirect == "http://shop.example/cards"
    done = v1.checkout.sessions.retrieve(session.id, {"expand": ["setup_intent.payment_method"]})
    assert done.setup_intent.payment_method.customer == owner.id
    assert charges() == []


def test_an_expired_session_cannot_be_paid(v1: Any, checkout: Any, buyer: Any, event_types: Any) -> None:
    session = checkout()
    buyer.open(session.url)
    with time_machine.travel(timezone.now() + timedelta(hours=25), tick=False):
        assert buyer.submit(session.url, method="card", number="4242424242424242").status_code == 410
        assert "expired" in buyer.text
        assert v1.checkout.sessions.retrieve(session.id).status == "expired"
    assert event_types(session.id) == ["checkout.session.expired"]


def test_an_expired_session_cannot_be_expired_again(v1: Any, checkout: Any) -> None:
    session = checkout()
    assert v1.checkout.sessions.expire(session.id).status == "expired"
    with pytest.raises(stripe.InvalidRequestError):
        v1.checkout.sessions.expire(session.id)


def test_a_payment_needs_a_csrf_token(checkout: Any, buyer: Any, charges: Any) -> None:
    session = checkout()
    assert buyer.browser.post(f"/sandbox/checkout/{session.id}", CARD).status_code == 403
    assert charges() == []


@pytest.mark.fault("P1")
def test_concurrent_submissions_pay_once(v1_over_http: Any, charges: Any) -> None:
    price = {"currency": "usd", "unit_amount": 1000, "product_data": {"name": "Pack"}}
    params = {
        "customer": v1_over_http.customers.create({}).id,
        "line_items": [{"price_data": price, "quantity": 1}],
        "success_url": "http://shop.example/done",
    }
    session = v1_over_http.checkout.sessions.create({"mode": "payment", **params})
    together = threading.Barrier(4)

    def submit(_: int) -> int:
        buyer = Buyer()
        buyer.open(session.url)
        together.wait()
        try:
            buyer.submit(session.url, **CARD)
            return int(buyer.response.status_code)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(4) as pool:
        statuses = list(pool.map(submit, range(4)))
    assert sorted(statuses) == [200, 200, 200, 302]
    assert len(charges()) == 1
