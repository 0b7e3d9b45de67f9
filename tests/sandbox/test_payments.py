"""Payment intents, their cards and what becomes of a payment: declines, authentication, refunds, disputes."""

from typing import Any

import pytest
import stripe
from django.utils import timezone

from sandbox import scheduled_actions


def pay(v1: Any, card: str = "visa", amount: int = 1000, **given: Any) -> Any:
    params = {"amount": amount, "currency": "usd", "payment_method": f"pm_card_{card}", "confirm": True}
    return v1.payment_intents.create(params | given)


def test_a_card_pays_and_the_fee_is_booked(v1: Any) -> None:
    intent = pay(v1, expand=["latest_charge.balance_transaction"])
    assert intent.status == "succeeded"
    assert intent.amount_received == 1000
    movement = intent.latest_charge.balance_transaction
    assert (movement.amount, movement.fee, movement.net) == (1000, 59, 941)


@pytest.mark.parametrize(
    ("card", "code", "decline_code"),
    [
        ("chargeDeclined", "card_declined", "generic_decline"),
        ("chargeDeclinedInsufficientFunds", "card_declined", "insufficient_funds"),
        ("chargeDeclinedExpiredCard", "expired_card", "expired_card"),
        ("chargeDeclinedIncorrectCvc", "incorrect_cvc", "incorrect_cvc"),
    ],
)
def test_a_decline_says_why_and_leaves_its_traces(
    v1: Any, event_types: Any, card: str, code: str, decline_code: str
) -> None:
    with pytest.raises(stripe.CardError) as refused:
        pay(v1, card)
    error = refused.value.error
    assert (refused.value.code, error.decline_code) == (code, decline_code)
    intent = v1.payment_intents.retrieve(error.payment_intent.id)
    assert intent.status == "requires_payment_method"
    assert intent.last_payment_error.decline_code == decline_code
    assert v1.charges.retrieve(intent.latest_charge).status == "failed"
    assert event_types()[-2:] == ["charge.failed", "payment_intent.payment_failed"]


def test_a_declined_intent_can_be_paid_by_another_card(v1: Any) -> None:
    with pytest.raises(stripe.CardError) as refused:
        pay(v1, "chargeDeclined")
    intent_id = refused.value.error.payment_intent.id
    assert v1.payment_intents.confirm(intent_id, {"payment_method": "pm_card_visa"}).status == "succeeded"
    with pytest.raises(stripe.InvalidRequestError) as again:
        v1.payment_intents.confirm(intent_id, {"payment_method": "pm_card_visa"})
    assert again.value.code == "payment_intent_unexpected_state"


@pytest.mark.fault("P16")
def test_off_session_a_card_that_wants_its_holder_is_refused(v1: Any, customer: Any) -> None:
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


def test_on_session_the_same_card_asks_and_then_pays(v1: Any, buyer: Any) -> None:
    intent = pay(v1, "authenticationRequired", return_url="http://shop.example/back")
    assert intent.status == "requires_action"
    url = intent.next_action.redirect_to_url.url
    buyer.open(url)
    buyer.submit(url, decision="pass")
    assert buyer.led_to.startswith("http://shop.example/back?payment_intent=")
    assert v1.payment_intents.retrieve(intent.id).status == "succeeded"


def test_a_saved_card_pays_now_but_not_off_session(v1: Any, customer: Any) -> None:
    owner = customer("chargeCustomerFail")
    card = v1.customers.retrieve(owner.id).invoice_settings.default_payment_method
    order = {"amount": 1000, "currency": "usd", "customer": owner.id, "payment_method": card, "confirm": True}
    assert v1.payment_intents.create(order).status == "succeeded"
    with pytest.raises(stripe.CardError):
        v1.payment_intents.create(order | {"off_session": True})


def test_somebody_elses_card_is_refused(v1: Any, customer: Any) -> None:
    owner, stranger = customer(), customer()
    card = v1.customers.retrieve(owner.id).invoice_settings.default_payment_method
    with pytest.raises(stripe.InvalidRequestError, match="does not have a payment method"):
        pay(v1, customer=stranger.id, payment_method=card)


def test_an_amount_below_the_least_is_refused(v1: Any) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refused:
        pay(v1, amount=49)
    assert refused.value.code == "amount_too_small"


@pytest.mark.fault("P11")
def test_yen_have_no_decimals_on_the_way_there_and_back(v1: Any) -> None:
    intent = pay(v1, amount=500, currency="jpy")
    refund = v1.refunds.create({"payment_intent": intent.id})
    assert (intent.amount, intent.currency, refund.amount, refund.currency) == (500, "jpy", 500, "jpy")


@pytest.mark.fault("P12")
def test_refunds_in_part_add_up_and_never_exceed_the_charge(v1: Any, event_types: Any) -> None:
    intent = pay(v1)
    for _ in range(2):
        v1.refunds.create({"payment_intent": intent.id, "amount": 400})
    charge = v1.charges.retrieve(intent.latest_charge)
    assert (charge.amount_refunded, charge.refunded) == (800, False)
    with pytest.raises(stripe.InvalidRequestError, match="greater than unrefunded amount"):
        v1.refunds.create({"payment_intent": intent.id, "amount": 201})
    v1.refunds.create({"payment_intent": intent.id})
    assert v1.charges.retrieve(intent.latest_charge).refunded
    with pytest.raises(stripe.InvalidRequestError) as refused:
        v1.refunds.create({"payment_intent": intent.id})
    assert refused.value.code == "charge_already_refunded"
    assert event_types(intent.latest_charge).count("charge.refunded") == 3


@pytest.mark.fault("P20")
def test_a_refund_that_fails_at_the_bank_gives_its_amount_back(v1: Any, event_types: Any) -> None:
    intent = pay(v1, "refundFail")
    refund = v1.refunds.create({"payment_intent": intent.id})
    assert refund.status == "succeeded"
    scheduled_actions.happen(timezone.now() + scheduled_actions.refunds.DECIDED_AFTER)
    refund = v1.refunds.retrieve(refund.id)
    assert (refund.status, refund.failure_reason) == ("failed", "lost_or_stolen_card")
    assert v1.charges.retrieve(intent.latest_charge).amount_refunded == 0
    assert event_types(refund.id)[-1] == "refund.failed"


def test_a_refund_may_wait_and_then_arrive(v1: Any) -> None:
    refund = v1.refunds.create({"payment_intent": pay(v1, "pendingRefund").id})
    assert refund.status == "pending"
    scheduled_actions.happen(timezone.now() + scheduled_actions.refunds.DECIDED_AFTER)
    assert v1.refunds.retrieve(refund.id).status == "succeeded"


@pytest.mark.fault("P14")
@pytest.mark.parametrize(
    ("evidence", "outcome", "balance"), [("winning_evidence", "won", 0), ("losing_evidence", "lost", -1000)]
)
def test_a_dispute_takes_the_money_and_gives_it_back_when_won(
    v1: Any, event_types: Any, evidence: str, outcome: str, balance: int
) -> None:
    intent = pay(v1, "createDispute")
    dispute = v1.disputes.list({"payment_intent": intent.id}).data[0]
    assert (dispute.status, dispute.amount) == ("needs_response", 1000)
    with pytest.raises(stripe.InvalidRequestError) as refused:
        v1.refunds.create({"payment_intent": intent.id})
    assert refused.value.code == "charge_disputed"
    decided = v1.disputes.update(dispute.id, {"evidence": {"uncategorized_text": evidence}})
    assert decided.status == outcome
    movements = v1.balance_transactions.list({"source": dispute.id}).data
    assert sum(movement.amount for movement in movements) == balance
    assert event_types(dispute.id)[-1] == "charge.dispute.closed"
    with pytest.raises(stripe.InvalidRequestError):
        v1.disputes.close(dispute.id)


def test_a_cancelled_intent_is_final(v1: Any) -> None:
    intent = v1.payment_intents.create({"amount": 1000, "currency": "usd"})
    assert v1.payment_intents.cancel(intent.id).status == "canceled"
    with pytest.raises(stripe.InvalidRequestError):
        v1.payment_intents.confirm(intent.id, {"payment_method": "pm_card_visa"})


def test_the_balance_is_the_sum_of_all_movements(v1: Any) -> None:
    intent = pay(v1)
    pay(v1, amount=5000, currency="eur")
    v1.refunds.create({"payment_intent": intent.id, "amount": 300})
    held = {line.currency: line.amount for line in v1.balance.retrieve().available}
    assert held == {"usd": 1000 - 59 - 300, "eur": 5000 - 175}
