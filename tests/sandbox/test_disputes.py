"""Disputes of every kind: how their status, their money and the refunds of their charge change."""

from collections.abc import Callable
from typing import Any

import pytest
import stripe
from django.test import Client

from sandbox import store
from sandbox.models import Resource
from tests.sandbox import sdk_shapes

WITHDRAWN, REINSTATED = "charge.dispute.funds_withdrawn", "charge.dispute.funds_reinstated"
CREATED, UPDATED, CLOSED = "charge.dispute.created", "charge.dispute.updated", "charge.dispute.closed"


@pytest.fixture
def intent(v1: Any) -> Any:
    return v1.payment_intents.create(
        {"amount": 900, "currency": "usd", "payment_method": "pm_card_visa", "confirm": True}
    )


@pytest.fixture
def act(v1: Any, client: Client, intent: Any) -> Callable[..., Any]:
    """Perform actions of the dashboard, the first on the charge, the others on its newest dispute."""

    def perform(*actions: str) -> Any:
        for number, action in enumerate(actions):
            about = v1.disputes.list().data[0].id if number else intent.latest_charge
            response = client.post(f"/sandbox/objects/{about}/act", {"action": action})
            assert "notice" not in response.headers["Location"]
        assert not {
            fault for row in Resource.objects.all() for fault in sdk_shapes.faults(store.public(row.body))
        }
        return v1.disputes.list().data[0]

    return perform


@pytest.mark.parametrize(
    ("actions", "status", "moved", "types"),
    [
        ("dispute", "needs_response", [-900], [CREATED, WITHDRAWN]),
        ("dispute respond win", "won", [-900, 900], [CREATED, WITHDRAWN, UPDATED, REINSTATED, CLOSED]),
        ("dispute lose", "lost", [-900], [CREATED, WITHDRAWN, CLOSED]),
        ("dispute lose appeal", "appeal_needs_response", [-900], [CREATED, WITHDRAWN, CLOSED, UPDATED]),
        ("dispute lose appeal respond win", "won", [-900, 900], None),
        ("dispute lose appeal respond lose", "lost", [-900], None),
        ("dispute win reverse", "lost", [-900, 900, -900], None),
        ("dispute lose reverse", "won", [-900, 900], None),
        ("inquire", "warning_needs_response", [], [CREATED]),
        ("inquire respond close_inquiry", "warning_closed", [], [CREATED, UPDATED, CLOSED]),
        ("inquire escalate", "needs_response", [-900], [CREATED, UPDATED, WITHDRAWN]),
        ("block", "prevented", [], [CREATED, CLOSED]),
        ("resolve", "prevented", [-900], [CREATED, WITHDRAWN, CLOSED]),
        ("dispute_part", "needs_response", [-450], [CREATED, WITHDRAWN]),
    ],
)
@pytest.mark.fault("P28")
def test_the_money_moves_as_the_status_says(
    act: Callable[..., Any],
    event_types: Callable[..., list[str]],
    actions: str,
    status: str,
    moved: list[int],
    types: list[str] | None,
) -> None:
    dispute = act(*actions.split())
    assert dispute.status == status
    assert [transaction.amount for transaction in dispute.balance_transactions] == moved
    if types is not None:
        assert event_types(dispute.id) == types


@pytest.mark.parametrize(
    ("actions", "refundable"),
    [
        ("dispute", False),
        ("dispute lose", False),
        ("dispute win", True),
        ("inquire", True),
        ("inquire escalate", False),
        ("block", True),
        ("resolve", False),
    ],
)
def test_a_charge_is_refunded_only_while_no_dispute_has_its_money(
    v1: Any, intent: Any, act: Callable[..., Any], actions: str, refundable: bool
) -> None:
    act(*actions.split())
    if refundable:
        assert v1.refunds.create({"payment_intent": intent.id}).status == "succeeded"
    else:
        with pytest.raises(stripe.InvalidRequestError) as refusal:
            v1.refunds.create({"payment_intent": intent.id})
        assert refusal.value.code == "charge_disputed"


def test_two_parts_of_a_charge_are_disputed_but_not_more_than_all_of_it(
    v1: Any, client: Client, intent: Any, act: Callable[..., Any]
) -> None:
    act("dispute_part")
    act("dispute")
    assert sorted(dispute.amount for dispute in v1.disputes.list().data) == [450, 450]
    client.post(f"/sandbox/objects/{intent.latest_charge}/act", {"action": "dispute"})
    assert len(v1.disputes.list().data) == 2


def test_a_dispute_of_a_refunded_charge_withdraws_nothing_again(
    v1: Any, intent: Any, act: Callable[..., Any]
) -> None:
    v1.refunds.create({"payment_intent": intent.id})
    dispute = act("dispute")
    assert (dispute.amount, dispute.balance_transactions) == (900, [])


def test_the_test_card_of_inquiries_opens_one(v1: Any) -> None:
    v1.payment_intents.create(
        {
            "amount": 900,
            "currency": "usd",
            "payment_method": "pm_card_createDisputeInquiry",
            "confirm": True,
        }
    )
    assert v1.disputes.list().data[0].status == "warning_needs_response"


def test_the_reference_number_of_a_card_refund_arrives_later(v1: Any, client: Client, intent: Any) -> None:
    refund = v1.refunds.create({"payment_intent": intent.id})
    assert refund.destination_details.card.reference_status == "pending"

    client.post(f"/sandbox/objects/{refund.id}/act", {"action": "reference"})

    card = v1.refunds.retrieve(refund.id).destination_details.card
    assert (card.reference_status, len(card.reference)) == ("available", 23)


def test_the_invoice_of_a_payment_is_found(v1: Any, begin: Any) -> None:
    invoice = v1.invoices.retrieve(begin().latest_invoice, {"expand": ["payments"]})
    payment = invoice.payments.data[0].payment.payment_intent
    found = v1.invoice_payments.list({"payment": {"type": "payment_intent", "payment_intent": payment}})
    assert [paid.invoice for paid in found.data] == [invoice.id]
