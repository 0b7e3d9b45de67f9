"""SEPA debits of plans and packs, bank transfers in parts, and what a session accepts."""

from datetime import timedelta
from typing import Any

import pytest
import stripe
from django.db import transaction
from django.utils import timezone

from sandbox import calls, scheduled_actions, store
from sandbox.objects import payments
from tests.sandbox.conftest import FAILING_IBAN, IBAN, US_TRANSFER, Buyer

pytestmark = pytest.mark.django_db


@pytest.fixture
def plan_by_debit(checkout: Any, price: Any, buyer: Buyer) -> Any:
    """A session of a plan for 20 EUR, paid by SEPA debit of an account."""

    def subscribe(iban: str = IBAN) -> Any:
        monthly = price(currency="eur")
        session = checkout(
            mode="subscription",
            line_items=[{"price": monthly.id, "quantity": 1}],
            allowed_payment_method_types=["card", "sepa_debit"],
        )
        buyer.open(session.url)
        buyer.submit(session.url, method="sepa_debit", iban=iban)
        return session

    return subscribe


@pytest.mark.fault("P24")
def test_a_plan_by_debit_exists_before_it_is_paid(v1: Any, plan_by_debit: Any, event_types: Any) -> None:
    session = v1.checkout.sessions.retrieve(
        plan_by_debit().id, {"expand": ["subscription", "invoice.payments"]}
    )
    assert (session.status, session.payment_status) == ("complete", "unpaid")
    assert session.subscription.status == "active"
    assert (session.invoice.status, session.invoice.amount_paid) == ("open", 0)
    intent = v1.payment_intents.retrieve(session.invoice.payments.data[0].payment.payment_intent)
    assert intent.status == "processing"

    scheduled_actions.run_due(timezone.now() + timedelta(minutes=3))

    session = v1.checkout.sessions.retrieve(session.id, {"expand": ["subscription", "invoice"]})
    assert (session.payment_status, session.subscription.status) == ("paid", "active")
    assert (session.invoice.status, session.invoice.amount_paid) == ("paid", 2000)
    assert event_types(session.id) == [
        "checkout.session.completed",
        "checkout.session.async_payment_succeeded",
    ]
    assert "invoice.payment_action_required" not in event_types()


@pytest.mark.fault("P24")
def test_a_plan_whose_debit_fails_is_overdue(v1: Any, plan_by_debit: Any, event_types: Any) -> None:
    session = plan_by_debit(FAILING_IBAN)
    scheduled_actions.run_due(timezone.now() + timedelta(minutes=3))

    session = v1.checkout.sessions.retrieve(session.id, {"expand": ["subscription", "invoice"]})
    assert (session.payment_status, session.subscription.status) == ("unpaid", "past_due")
    assert session.invoice.status == "open"
    assert event_types(session.id)[-1] == "checkout.session.async_payment_failed"
    assert "invoice.payment_failed" in event_types()


def test_a_plan_cancelled_while_its_debit_is_processing_is_still_paid(v1: Any, plan_by_debit: Any) -> None:
    session = v1.checkout.sessions.retrieve(plan_by_debit().id)
    v1.subscriptions.cancel(session.subscription)
    scheduled_actions.settle_pending(timezone.now())

    assert v1.subscriptions.retrieve(session.subscription).status == "canceled"
    assert v1.invoices.retrieve(session.invoice).status == "paid"


def test_a_renewal_by_debit_is_paid_days_later(v1: Any, plan_by_debit: Any) -> None:
    session = v1.checkout.sessions.retrieve(plan_by_debit().id)
    scheduled_actions.settle_pending(timezone.now())
    scheduled_actions.run_due(timezone.now() + timedelta(days=32))
    renewed = v1.subscriptions.retrieve(session.subscription, {"expand": ["latest_invoice"]})
    assert (renewed.status, renewed.latest_invoice.status) == ("active", "open")

    scheduled_actions.settle_pending(timezone.now())

    assert v1.invoices.retrieve(renewed.latest_invoice.id).status == "paid"


@pytest.mark.requirement("APIN-03")
def test_a_bank_transfer_in_parts_is_paid_when_all_has_arrived(
    v1: Any, checkout: Any, buyer: Buyer, event_types: Any
) -> None:
    session = checkout(
        allowed_payment_method_types=["customer_balance"],
        payment_method_options={"customer_balance": US_TRANSFER},
    )
    buyer.open(session.url)
    buyer.submit(session.url, method="customer_balance")
    intent_id = v1.checkout.sessions.retrieve(session.id).payment_intent

    transfer(intent_id, 400)
    intent = v1.payment_intents.retrieve(intent_id)
    assert intent.status == "requires_action"
    assert intent.next_action.display_bank_transfer_instructions.amount_remaining == 600
    assert v1.checkout.sessions.retrieve(session.id).payment_status == "unpaid"
    transfer(intent_id, 700)

    assert v1.checkout.sessions.retrieve(session.id).payment_status == "paid"
    assert v1.payment_intents.retrieve(intent_id).amount_received == 1000
    assert store.get("customer", intent.customer)["_cash_balance"] == {"usd": 100}
    assert "payment_intent.partially_funded" in event_types(intent_id)


def transfer(intent_id: str, amount: int) -> None:
    """A bank transfer from the customer arrives."""
    with transaction.atomic():
        store.lock()
        call = calls.without_request(timezone.now())
        payments.receive_transfer(store.get("payment_intent", intent_id), amount, call)


def test_an_iban_is_checked_and_not_shown_again(checkout: Any, price: Any, buyer: Buyer) -> None:
    session = checkout(
        mode="subscription",
        line_items=[{"price": price(currency="eur").id, "quantity": 1}],
        allowed_payment_method_types=["sepa_debit"],
    )
    buyer.open(session.url)
    assert buyer.submit(session.url, method="sepa_debit", iban="AT61 19").status_code == 422
    assert "Your IBAN is invalid." in buyer.text and "AT61 19<" not in buyer.text


@pytest.mark.parametrize(
    ("mode", "currency", "method"),
    [
        ("subscription", "usd", "alipay"),
        ("subscription", "usd", "wechat_pay"),
        ("subscription", "eur", "customer_balance"),
        ("subscription", "usd", "sepa_debit"),
        ("payment", "usd", "sepa_debit"),
        ("payment", "cny", "customer_balance"),
    ],
)
def test_a_session_leaves_out_a_method_that_its_mode_or_currency_excludes(
    checkout: Any, price: Any, mode: str, currency: str, method: str
) -> None:
    line: dict[str, Any] = {"quantity": 1}
    if mode == "subscription":
        line["price"] = price(currency=currency).id
    else:
        line["price_data"] = {"currency": currency, "unit_amount": 1000, "product_data": {"name": "Pack"}}
    session = checkout(mode=mode, line_items=[line], allowed_payment_method_types=["card", method])
    assert session.payment_method_types == ["card"]
    with pytest.raises(stripe.InvalidRequestError, match="No valid payment method types"):
        checkout(mode=mode, line_items=[line], allowed_payment_method_types=[method])


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({}, "payment_method_options[wechat_pay][client]"),
        ({"wechat_pay": {"client": "web"}}, "payment_method_options[customer_balance][funding_type]"),
        (
            {
                "wechat_pay": {"client": "web"},
                "customer_balance": {
                    "funding_type": "bank_transfer",
                    "bank_transfer": {"type": "gb_bank_transfer"},
                },
            },
            "payment_method_options[customer_balance][bank_transfer][type]",
        ),
    ],
)
def test_a_session_refuses_methods_without_their_options(
    checkout: Any, options: dict[str, Any], param: str
) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refused:
        checkout(
            allowed_payment_method_types=["wechat_pay", "customer_balance"], payment_method_options=options
        )
    assert refused.value.param == param


@pytest.mark.parametrize("minutes", [29, 24 * 60 + 1])
def test_a_session_is_open_for_half_an_hour_to_a_day(checkout: Any, minutes: int) -> None:
    with pytest.raises(stripe.InvalidRequestError, match="expires_at"):
        checkout(expires_at=int((timezone.now() + timedelta(minutes=minutes)).timestamp()))
    in_an_hour = int((timezone.now() + timedelta(hours=1)).timestamp())
    assert checkout(expires_at=in_an_hour).expires_at == in_an_hour


@pytest.mark.fault("P24")
def test_two_plan_sessions_of_a_customer_can_both_be_paid(
    v1: Any, checkout: Any, price: Any, customer: Any, buyer: Buyer
) -> None:
    owner, monthly = customer(card=None).id, price().id
    sessions = [
        checkout(customer=owner, mode="subscription", line_items=[{"price": monthly, "quantity": 1}])
        for _ in range(2)
    ]
    for session in sessions:
        buyer.pay(session.url)
    paid = v1.checkout.sessions.list({"customer": owner, "status": "complete"}).data
    assert len({session.subscription for session in paid}) == 2
