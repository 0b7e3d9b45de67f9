"""The hosted checkout page, as a buyer with and without luck sees it."""

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
from tests.sandbox.conftest import CARD, Buyer


def test_a_purchase_leads_back_to_the_shop(v1: Any, checkout: Any, buyer: Any, event_types: Any) -> None:
    session = checkout(metadata={"purchase": "p1"}, payment_intent_data={"metadata": {"purchase": "p1"}})
    page = buyer.open(session.url)
    assert "1,000 credits" in buyer.text
    assert "$10.00" in buyer.text
    assert "unsafe-inline" not in page.headers["Content-Security-Policy"]
    assert "<style" not in buyer.text and "onclick" not in buyer.text
    buyer.pay(session.url)
    assert buyer.led_to == f"http://shop.example/done?session={session.id}"
    paid = v1.checkout.sessions.retrieve(session.id, {"expand": ["payment_intent", "line_items"]})
    assert (paid.status, paid.payment_status, paid.amount_total) == ("complete", "paid", 1000)
    assert paid.customer_details.email == "ann@example.org"
    assert paid.payment_intent.metadata.purchase == "p1"
    assert paid.line_items.data[0].description == "1,000 credits"
    assert event_types()[-4:] == [
        "payment_intent.created",
        "charge.succeeded",
        "payment_intent.succeeded",
        "checkout.session.completed",
    ]


def test_paying_twice_pays_once(v1: Any, checkout: Any, buyer: Any) -> None:
    session = checkout()
    buyer.pay(session.url)
    again = buyer.open(session.url)
    assert again.status_code == 200
    assert "finished" in buyer.text
    assert len(v1.charges.list().data) == 1


def test_wrong_fields_are_named_beside_them(checkout: Any, buyer: Any) -> None:
    answer = buyer.pay(checkout().url, "4242 4242 4242 4241", expiry="01/20", cvc="12", email="nobody")
    assert answer.status_code == 422
    for words in ("not a card number", "in the past", "3 digits", "e-mail address"):
        assert words in buyer.text
    assert "4242 4242 4242 4241" not in buyer.text


def test_a_real_card_is_refused(checkout: Any, buyer: Any) -> None:
    buyer.pay(checkout().url, "4111 1111 1111 1111")
    assert "Only test cards work here" in buyer.text


def test_after_a_decline_another_card_pays_the_same_intent(v1: Any, checkout: Any, buyer: Any) -> None:
    session = checkout()
    buyer.pay(session.url, "4000 0000 0000 9995")
    assert "Your card has insufficient funds." in buyer.text
    buyer.pay(session.url)
    assert buyer.led_to.startswith("http://shop.example/done")
    assert [charge.status for charge in v1.charges.list().data] == ["succeeded", "failed"]
    assert len(v1.payment_intents.list().data) == 1


@pytest.mark.parametrize("number", ["4000 0025 0000 3155", "4000 0027 6000 3184"])
def test_the_bank_asks_and_the_buyer_completes(v1: Any, checkout: Any, buyer: Any, number: str) -> None:
    session = checkout()
    buyer.pay(session.url, number)
    bank = buyer.led_to
    assert "/sandbox/authenticate/" in bank
    buyer.open(bank)
    buyer.submit(bank, decision="fail")
    assert buyer.led_to.endswith(f"/sandbox/checkout/{session.id}")
    buyer.open(session.url)
    assert "unable to authenticate" in buyer.text
    buyer.pay(session.url, number)
    buyer.open(buyer.led_to)
    buyer.submit(bank, decision="pass")
    assert buyer.led_to.startswith("http://shop.example/done")
    assert v1.checkout.sessions.retrieve(session.id).payment_status == "paid"


@pytest.mark.fault("P5")
@pytest.mark.parametrize("method", ["alipay", "wechat_pay"])
def test_a_wallet_may_pay_later(v1: Any, checkout: Any, buyer: Any, event_types: Any, method: str) -> None:
    session = checkout()
    buyer.open(session.url)
    buyer.submit(session.url, method=method, email="ann@example.org")
    wallet = buyer.led_to
    buyer.open(wallet)
    buyer.submit(wallet, decision="later")
    assert buyer.led_to.startswith("http://shop.example/done")
    assert v1.checkout.sessions.retrieve(session.id).payment_status == "unpaid"
    assert event_types(session.id) == ["checkout.session.completed"]
    scheduled_actions.settle_pending(timezone.now())
    assert v1.checkout.sessions.retrieve(session.id).payment_status == "paid"
    assert event_types(session.id)[-1] == "checkout.session.async_payment_succeeded"


def test_a_wallet_pays_at_once_or_refuses(v1: Any, checkout: Any, buyer: Any) -> None:
    session = checkout()
    for decision, led_to in (("fail", session.url.rpartition("/")[2]), ("pass", "shop.example/done")):
        buyer.open(session.url)
        buyer.submit(session.url, method="alipay", email="ann@example.org")
        wallet = buyer.led_to
        buyer.open(wallet)
        buyer.submit(wallet, decision=decision)
        assert led_to in buyer.led_to
    assert v1.checkout.sessions.retrieve(session.id).payment_status == "paid"


@pytest.mark.fault("P5")
@pytest.mark.parametrize(
    ("arrives", "event"), [(True, "async_payment_succeeded"), (False, "async_payment_failed")]
)
def test_a_bank_transfer_arrives_days_later_or_never(
    v1: Any, checkout: Any, buyer: Any, customer: Any, event_types: Any, arrives: bool, event: str
) -> None:
    session = checkout(customer=customer(card=None).id, allowed_payment_method_types=["customer_balance"])
    buyer.open(session.url)
    buyer.submit(session.url, method="customer_balance", email="ann@example.org")
    assert buyer.led_to.startswith("http://shop.example/done")
    intent = v1.payment_intents.retrieve(v1.checkout.sessions.retrieve(session.id).payment_intent)
    assert intent.next_action.type == "display_bank_transfer_instructions"
    scheduled_actions.settle_pending(timezone.now(), succeeded=arrives)
    assert event_types(session.id) == ["checkout.session.completed", f"checkout.session.{event}"]


def test_a_bank_debit_settles_by_itself(v1: Any, checkout: Any, buyer: Any) -> None:
    price = {"currency": "eur", "unit_amount": 900, "product_data": {"name": "Pack"}}
    session = checkout(
        line_items=[{"price_data": price, "quantity": 1}], allowed_payment_method_types=["sepa_debit"]
    )
    buyer.open(session.url)
    buyer.submit(session.url, method="sepa_debit", email="ann@example.org")
    scheduled_actions.happen(timezone.now() + timedelta(minutes=3))
    assert v1.checkout.sessions.retrieve(session.id).payment_status == "paid"


def test_setup_future_usage_saves_the_card_for_later(
    v1: Any, checkout: Any, buyer: Any, customer: Any
) -> None:
    owner = customer(card=None)
    session = checkout(customer=owner.id, payment_intent_data={"setup_future_usage": "off_session"})
    buyer.pay(session.url, "4000 0025 0000 3155")
    buyer.open(bank := buyer.led_to)
    buyer.submit(bank, decision="pass")
    card = v1.customers.payment_methods.list(owner.id).data[0]
    assert card.card.last4 == "3155"
    order = {
        "amount": 700,
        "currency": "usd",
        "customer": owner.id,
        "payment_method": card.id,
        "confirm": True,
    }
    assert v1.payment_intents.create(order | {"off_session": True}).status == "succeeded"


def test_a_saved_card_is_offered_again(v1: Any, checkout: Any, buyer: Any, customer: Any) -> None:
    owner = customer("mastercard")
    card = v1.customers.retrieve(owner.id).invoice_settings.default_payment_method
    session = checkout(customer=owner.id)
    buyer.open(session.url)
    assert "Mastercard ending in 4444" in buyer.text
    buyer.submit(session.url, method=card, email="ann@example.org")
    assert buyer.led_to.startswith("http://shop.example/done")


def test_setup_mode_saves_a_card_without_paying(v1: Any, buyer: Any, customer: Any) -> None:
    owner = customer(card=None)
    session = v1.checkout.sessions.create(
        {"mode": "setup", "currency": "usd", "customer": owner.id, "success_url": "http://shop.example/cards"}
    )
    buyer.pay(session.url)
    assert buyer.led_to == "http://shop.example/cards"
    done = v1.checkout.sessions.retrieve(session.id, {"expand": ["setup_intent.payment_method"]})
    assert done.setup_intent.payment_method.customer == owner.id
    assert v1.charges.list().data == []


def test_a_promotion_code_lowers_the_total(v1: Any, checkout: Any, buyer: Any) -> None:
    coupon = v1.coupons.create({"percent_off": 25, "duration": "once"})
    v1.promotion_codes.create(
        {"promotion": {"type": "coupon", "coupon": coupon.id}, "code": "AUTUMN", "max_redemptions": 1}
    )
    session = checkout(allow_promotion_codes=True)
    buyer.open(session.url)
    buyer.submit(f"{session.url}/code/", code="WINTER")
    assert "not a valid code" in buyer.text
    buyer.submit(f"{session.url}/code/", code="autumn")
    buyer.open(session.url)
    assert "$7.50" in buyer.text
    buyer.pay(session.url)
    paid = v1.checkout.sessions.retrieve(session.id, {"expand": ["payment_intent"]})
    assert (paid.payment_intent.amount, paid.total_details.amount_discount) == (750, 250)
    other = checkout(allow_promotion_codes=True)
    buyer.open(other.url)
    buyer.submit(f"{other.url}/code/", code="AUTUMN")
    assert "not a valid code" in buyer.text


def test_an_expired_session_takes_no_money(v1: Any, checkout: Any, buyer: Any, event_types: Any) -> None:
    session = checkout()
    buyer.open(session.url)
    with time_machine.travel(timezone.now() + timedelta(hours=25), tick=False):
        assert buyer.submit(session.url, method="card", number="4242424242424242").status_code == 410
        assert "expired" in buyer.text
        assert v1.checkout.sessions.retrieve(session.id).status == "expired"
    assert event_types(session.id) == ["checkout.session.expired"]


def test_a_session_can_be_expired_by_the_shop_once(v1: Any, checkout: Any) -> None:
    session = checkout()
    assert v1.checkout.sessions.expire(session.id).status == "expired"
    with pytest.raises(stripe.InvalidRequestError):
        v1.checkout.sessions.expire(session.id)


def test_a_page_without_csrf_token_takes_no_money(v1: Any, checkout: Any, buyer: Any) -> None:
    session = checkout()
    assert buyer.browser.post(f"/sandbox/checkout/{session.id}", CARD).status_code == 403
    assert v1.charges.list().data == []


@pytest.mark.fault("P1")
def test_two_clicks_at_once_pay_once(v1_over_http: Any) -> None:
    price = {"currency": "usd", "unit_amount": 1000, "product_data": {"name": "Pack"}}
    order = {"line_items": [{"price_data": price, "quantity": 1}], "success_url": "http://shop.example/done"}
    session = v1_over_http.checkout.sessions.create({"mode": "payment", **order})
    together = threading.Barrier(4)

    def click(_: int) -> int:
        buyer = Buyer()
        buyer.open(session.url)
        together.wait()
        try:
            buyer.submit(session.url, **CARD)
            return int(buyer.seen.status_code)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(click, range(4)))
    assert sorted(answers) == [200, 200, 200, 302]
    assert len(v1_over_http.charges.list().data) == 1
