"""Disputes take back the credits of a payment while its money is away, whatever becomes of them."""

from collections.abc import Callable
from decimal import Decimal
from itertools import permutations
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Account
from billing import ledger, stripe_gateway
from billing.models import Dispute, Mail, Purchase, StripeEvent
from billing.payments import fulfilment
from billing.refunds import disputes, requests
from billing.webhooks import reconciliation

pytestmark = pytest.mark.django_db
DISPUTE_EVENTS = [
    f"charge.dispute.{name}"
    for name in ("created", "updated", "closed", "funds_withdrawn", "funds_reinstated")
]


@pytest.mark.fault("P13")
def test_a_dispute_takes_back_unspent_credits_and_records_the_rest_as_debt(
    paid_purchase: Callable[..., Purchase],
    account: Account,
    balance: Callable[[], Decimal],
    bank: Callable[..., Any],
    deliver: Callable[[], None],
) -> None:
    purchase = paid_purchase()
    now = timezone.now()
    total = balance()
    charge = ledger.ChargeRequest(account_id=account.pk, credits=total - 30, key="u", service="gpt-4o")
    ledger.charge(charge, now)

    bank(purchase, "dispute")
    deliver()

    after = ledger.balance(account.pk, now)
    assert (after.total, after.debt) == (0, purchase.credits - 30)
    assert Mail.objects.filter(template="disputed").count() == 1


@pytest.mark.fault("P14", "P28")
@pytest.mark.parametrize(
    ("actions", "status", "taken"),
    [
        ("dispute", "open", 1),
        ("dispute respond", "open", 1),
        ("dispute win", "won", 0),
        ("dispute lose", "lost", 1),
        ("dispute lose appeal", "open", 1),
        ("dispute lose appeal respond", "open", 1),
        ("dispute lose appeal respond win", "won", 0),
        ("dispute lose appeal respond lose", "lost", 1),
        ("dispute win reverse", "lost", 1),
        ("dispute lose reverse", "won", 0),
        ("dispute win reverse reverse", "won", 0),
        ("dispute win reverse reverse reverse", "lost", 1),
        ("inquire", "inquiry", 0),
        ("inquire respond", "inquiry", 0),
        ("inquire close_inquiry", "closed", 0),
        ("inquire escalate", "open", 1),
        ("inquire escalate win", "won", 0),
        ("block", "prevented", 0),
        ("resolve", "lost", 1),
        ("dispute_part", "open", 0.5),
        ("dispute_part win", "won", 0),
        ("dispute_part dispute", "open", 1),
        ("dispute_part dispute win", "won", 0.5),
    ],
)
@pytest.mark.parametrize("each", [True, False], ids=["each event at once", "all events at the end"])
def test_credits_follow_the_money_through_every_state(
    paid_purchase: Callable[..., Purchase],
    account: Account,
    balance: Callable[[], Decimal],
    bank: Callable[..., Any],
    deliver: Callable[[], None],
    actions: str,
    status: str,
    taken: float,
    each: bool,
) -> None:
    purchase = paid_purchase()
    before = balance()
    for action in actions.split():
        stripe_dispute = bank(purchase, action)
        if each:
            deliver()
    deliver()

    dispute = Dispute.objects.get(stripe_dispute_id=stripe_dispute.id)
    assert dispute.status == status
    assert before - balance() == purchase.credits * Decimal(taken)
    assert ledger.balance(account.pk, timezone.now()).debt == 0
    assert sum(one.credits for one in Dispute.objects.all()) == purchase.credits * Decimal(taken)


@pytest.mark.fault("P14", "P28")
def test_spent_credits_are_owed_and_released_each_time_the_decision_changes(
    paid_purchase: Callable[..., Purchase],
    account: Account,
    balance: Callable[[], Decimal],
    bank: Callable[..., Any],
    deliver: Callable[[], None],
) -> None:
    purchase = paid_purchase()
    request = ledger.ChargeRequest(account_id=account.pk, credits=balance() - 30, key="u", service="gpt-4o")
    ledger.charge(request, timezone.now())
    bank(purchase, "dispute")
    for action in ("win", "reverse", "reverse", "reverse"):
        bank(purchase, action)
        deliver()
        lost = Dispute.objects.get().status == Dispute.Status.LOST
        after = ledger.balance(account.pk, timezone.now())
        expected = (0, purchase.credits - 30) if lost else (30, 0)
        assert (after.total, after.debt) == expected, action


@pytest.mark.fault("P6", "P28")
def test_events_in_any_order_and_twice_end_in_the_present_state(
    paid_purchase: Callable[..., Purchase],
    balance: Callable[[], Decimal],
    bank: Callable[..., Any],
    events: Callable[..., Any],
    process_event: Callable[..., StripeEvent],
) -> None:
    purchase = paid_purchase()
    before = balance()
    bank(purchase, "dispute", "win", "reverse")
    received = events(*DISPUTE_EVENTS)
    assert len(received) == 7
    for number, order in enumerate(permutations(received[:1] + received[3:6])):
        for event in (*order, order[0]):
            stored = process_event({**event, "id": f"{event['id']}_{number}"})
            assert stored.state == "done", stored.error
        assert before - balance() == purchase.credits
    assert Dispute.objects.get().status == Dispute.Status.LOST


@pytest.mark.fault("P28")
def test_a_snapshot_retrieved_before_a_newer_one_was_applied_is_refused(
    paid_purchase: Callable[..., Purchase], balance: Callable[[], Decimal], bank: Callable[..., Any]
) -> None:
    purchase = paid_purchase()
    full = balance()
    older = disputes.fetch_snapshot(bank(purchase, "dispute").id)
    disputes.apply_snapshot(disputes.fetch_snapshot(bank(purchase, "win").id), timezone.now())

    with pytest.raises(disputes.StaleDispute):
        disputes.apply_snapshot(older, timezone.now())
    assert balance() == full


@pytest.mark.fault("P7", "P28")
def test_reconciliation_applies_a_dispute_whose_events_were_lost(
    paid_purchase: Callable[..., Purchase],
    balance: Callable[[], Decimal],
    bank: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    purchase = paid_purchase()
    full = balance()
    monkeypatch.setattr(stripe_gateway, "list_events", lambda _since: [])
    for action, taken in (("dispute", purchase.credits), ("win", Decimal(0))):
        bank(purchase, action)
        report = reconciliation.run(timezone.now())
        assert report is not None
        assert report.findings == []
        assert full - balance() == taken


@pytest.mark.fault("P14")
def test_a_dispute_and_a_refund_of_one_purchase_take_its_credits_back_once(
    stripe_api: Any,
    paid_purchase: Callable[..., Purchase],
    account: Account,
    balance: Callable[[], Decimal],
    bank: Callable[..., Any],
    deliver: Callable[[], None],
) -> None:
    purchase = paid_purchase()
    full = balance()
    stripe_api.refunds.create({"payment_intent": purchase.stripe_payment_id})
    for actions in (("dispute",), ("lose",), ("reverse",)):
        bank(purchase, *actions)
        deliver()
        assert balance() == full - purchase.credits
        assert ledger.balance(account.pk, timezone.now()).debt == 0


@pytest.mark.fault("P14", "P28")
def test_the_bank_disputes_the_rest_of_a_partly_refunded_payment(
    stripe_api: Any,
    paid_purchase: Callable[..., Purchase],
    balance: Callable[[], Decimal],
    bank: Callable[..., Any],
    deliver: Callable[[], None],
) -> None:
    purchase = paid_purchase()
    full, quarter = balance(), purchase.credits / 4
    stripe_api.refunds.create({"payment_intent": purchase.stripe_payment_id, "amount": purchase.amount // 4})
    for action, taken in (("dispute", 4), ("win", 1), ("reverse", 4)):
        bank(purchase, action)
        deliver()
        assert full - balance() == taken * quarter


@pytest.mark.fault("P10", "P13")
def test_a_dispute_of_a_quarantined_payment_takes_its_credits_when_staff_release_it(
    new_purchase: Callable[..., Purchase],
    pay: Callable[..., Any],
    events: Callable[..., Any],
    process_event: Callable[..., StripeEvent],
    balance: Callable[[], Decimal],
    bank: Callable[..., Any],
    deliver: Callable[[], None],
) -> None:
    purchase, before = new_purchase(), balance()
    pay(purchase)
    [event] = events("checkout.session.completed")
    event["data"]["object"]["amount_total"] += 1
    process_event(event)
    bank(purchase, "dispute")
    deliver()
    purchase.refresh_from_db()
    assert (purchase.status, balance()) == ("quarantined", before)

    fulfilment.credit_quarantined(purchase, actor="staff", now=timezone.now())
    assert balance() == before, "credited, and taken back for the dispute"

    bank(purchase, "win")
    deliver()
    assert balance() == before + purchase.credits


def test_a_disputed_payment_is_not_called_spent_and_cannot_be_refunded(
    refund_window: None,
    paid_purchase: Callable[..., Purchase],
    bank: Callable[..., Any],
    deliver: Callable[[], None],
) -> None:
    purchase = paid_purchase()
    bank(purchase, "dispute", "lose")
    deliver()
    purchase.refresh_from_db()

    with pytest.raises(requests.RefundRefused, match="disputed"):
        requests.refundable(purchase, timezone.now())
