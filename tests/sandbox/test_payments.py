"""Payments by card: declines, authentication, refunds, disputes."""

from typing import Any

import pytest
import stripe
from django.test import Client
from django.utils import timezone

from sandbox import scheduled_actions
from sandbox.objects import refunds


def pay(v1: Any, card: str = "visa", amount: int = 1000, **more: Any) -> Any:
    params = {"amount": amount, "currency": "usd", "payment_method": f"pm_card_{card}", "confirm": True}
    return v1.payment_intents.create(params | more)


@pytest.mark.parametrize(
    ("card", "code", "decline_code"),
    [
        ("chargeDeclined", "card_declined", "generic_decline"),
        ("chargeDeclinedInsufficientFunds", "card_declined", "insufficient_funds"),
        ("chargeDeclinedExpiredCard", "expired_card", "expired_card"),
        ("chargeDeclinedIncorrectCvc", "incorrect_cvc", "incorrect_cvc"),
    ],
)
def test_a_decline_is_recorded_with_its_code(
    v1: Any, charges: Any, event_types: Any, card: str, code: str, decline_code: str
) -> None:
    with pytest.raises(stripe.CardError) as refused:
        pay(v1, card)
    error = refused.value.error
    assert (refused.value.code, error.decline_code) == (code, decline_code)
    intent = v1.payment_intents.retrieve(error.payment_intent.id)
    assert intent.status == "requires_payment_method"
    assert intent.last_payment_error.decline_code == decline_code
    assert charges()[0]["status"] == "failed"
    assert event_types()[-2:] == ["charge.failed", "payment_intent.payment_failed"]


@pytest.mark.fault("P16")
def test_an_off_session_payment_that_needs_authentication_is_declined(v1: Any, customer: Any) -> None:
    owner = customer("authenticationRequired")
    card = v1.customers.retrieve(owner.id).invoice_settings.default_payment_method
    with pytest.raises(stripe.CardError) as refused:
        v1.payment_intents.create(
            {
                "amount": 1000,
                "currency": "usd",
                "customer": owner.id,
                "payment_method": card,
                "confirm": True,
                "off_session": True,
            }
        )
    assert refused.value.code == "authentication_required"


@pytest.mark.fault("P14")
def test_a_dispute_refuses_refunds_until_it_is_won(v1: Any, client: Client, event_types: Any) -> None:
    intent = pay(v1, "createDispute")
    dispute = v1.disputes.list({"payment_intent": intent.id}).data[0]
    assert (dispute.status, dispute.amount) == ("needs_response", 1000)
    with pytest.raises(stripe.InvalidRequestError) as refused:
        v1.refunds.create({"payment_intent": intent.id})
    assert refused.value.code == "charge_disputed"
    client.post(f"/sandbox/objects/{dispute.id}/act", {"action": "win"})
    assert event_types(dispute.id)[-2:] == ["charge.dispute.funds_reinstated", "charge.dispute.closed"]
    assert v1.refunds.create({"payment_intent": intent.id}).status == "succeeded"


@pytest.mark.fault("P14")
def test_a_lost_dispute_stays_closed(v1: Any, client: Client, event_types: Any) -> None:
    intent = pay(v1, "createDispute")
    dispute = v1.disputes.list({"payment_intent": intent.id}).data[0]
    for action in ("lose", "win"):
        client.post(f"/sandbox/objects/{dispute.id}/act", {"action": action})
    assert v1.disputes.retrieve(dispute.id).status == "lost"
    assert event_types(dispute.id).count("charge.dispute.closed") == 1


def test_a_saved_card_can_be_declined_off_session_only(v1: Any, customer: Any) -> None:
    owner = customer("chargeCustomerFail")
    card = v1.customers.retrieve(owner.id).invoice_settings.default_payment_method
    params = {
        "amount": 1000,
        "currency": "usd",
        "customer": owner.id,
        "payment_method": card,
        "confirm": True,
    }
    assert v1.payment_intents.create(params).status == "succeeded"
    with pytest.raises(stripe.CardError):
        v1.payment_intents.create(params | {"off_session": True})


def test_a_card_of_another_customer_is_refused(v1: Any, customer: Any) -> None:
    owner, stranger = customer(), customer()
    card = v1.customers.retrieve(owner.id).invoice_settings.default_payment_method
    with pytest.raises(stripe.InvalidRequestError, match="does not have a payment method"):
        pay(v1, customer=stranger.id, payment_method=card)


def test_an_amount_below_the_minimum_is_refused(v1: Any) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refused:
        pay(v1, amount=49)
    assert refused.value.code == "amount_too_small"


@pytest.mark.fault("P11")
def test_amounts_in_yen_have_no_decimals(v1: Any) -> None:
    intent = pay(v1, amount=500, currency="jpy")
    refund = v1.refunds.create({"payment_intent": intent.id})
    assert (intent.amount, intent.currency, refund.amount, refund.currency) == (500, "jpy", 500, "jpy")


@pytest.mark.fault("P12")
def test_partial_refunds_never_exceed_the_charge(v1: Any, charges: Any, event_types: Any) -> None:
    intent = pay(v1)
    for _ in range(2):
        v1.refunds.create({"payment_intent": intent.id, "amount": 400})
    [charge] = charges()
    assert (charge["amount_refunded"], charge["refunded"]) == (800, False)
    with pytest.raises(stripe.InvalidRequestError, match="greater than unrefunded amount"):
        v1.refunds.create({"payment_intent": intent.id, "amount": 201})
    v1.refunds.create({"payment_intent": intent.id})
    assert charges()[0]["refunded"]
    with pytest.raises(stripe.InvalidRequestError) as refused:
        v1.refunds.create({"payment_intent": intent.id})
    assert refused.value.code == "charge_already_refunded"
    assert event_types(intent.latest_charge).count("charge.refunded") == 3


@pytest.mark.fault("P20")
def test_a_failed_refund_reduces_the_refunded_amount(v1: Any, charges: Any, event_types: Any) -> None:
    intent = pay(v1, "refundFail")
    refund = v1.refunds.create({"payment_intent": intent.id})
    assert refund.status == "succeeded"
    scheduled_actions.run_due(timezone.now() + refunds.COMPLETES_AFTER)
    refund = v1.refunds.retrieve(refund.id)
    assert (refund.status, refund.failure_reason) == ("failed", "lost_or_stolen_card")
    assert charges()[0]["amount_refunded"] == 0
    assert event_types(refund.id)[-1] == "refund.failed"


def test_a_pending_refund_succeeds_later(v1: Any) -> None:
    refund = v1.refunds.create({"payment_intent": pay(v1, "pendingRefund").id})
    assert refund.status == "pending"
    scheduled_actions.run_due(timezone.now() + refunds.COMPLETES_AFTER)
    assert v1.refunds.retrieve(refund.id).status == "succeeded"
