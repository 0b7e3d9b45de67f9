"""Disputes take back the credits of their payment, and restore them when they are won."""

from collections.abc import Callable
from decimal import Decimal
from itertools import permutations
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Account
from billing import ledger
from billing.models import Dispute, Purchase
from billing.payments import fulfilment
from billing.refunds import disputes, requests

pytestmark = pytest.mark.django_db


def dispute_of(purchase: Purchase, status: str) -> dict[str, Any]:
    return {
        "id": "dp_1",
        "payment_intent": purchase.stripe_payment_id,
        "amount": purchase.amount,
        "currency": purchase.currency,
        "status": status,
        "reason": "fraudulent",
        "evidence_details": {"due_by": 1_800_000_000},
    }


@pytest.mark.fault("P13")
def test_a_dispute_takes_back_unspent_credits_and_records_the_rest_as_debt(
    paid_purchase: Callable[..., Purchase], account: Account, balance: Callable[[], Decimal]
) -> None:
    purchase = paid_purchase()
    now = timezone.now()
    total = balance()
    charge = ledger.ChargeRequest(account_id=account.pk, credits=total - 30, key="u", service="gpt-4o")
    ledger.charge(charge, now)

    disputes.apply_stripe_dispute(dispute_of(purchase, "needs_response"), now)

    after = ledger.balance(account.pk, now)
    assert (after.total, after.debt) == (0, purchase.credits - 30)


@pytest.mark.fault("P14")
def test_a_won_dispute_restores_exactly_once(
    paid_purchase: Callable[..., Purchase], balance: Callable[[], Decimal]
) -> None:
    purchase = paid_purchase()
    full = balance()

    for status in ("needs_response", "under_review", "won", "won", "needs_response"):
        disputes.apply_stripe_dispute(dispute_of(purchase, status), timezone.now())

    assert balance() == full
    assert Dispute.objects.get().status == Dispute.Status.WON


@pytest.mark.fault("P14")
def test_a_dispute_and_a_refund_of_one_purchase_take_its_credits_back_once(
    paid_purchase: Callable[..., Purchase], account: Account, balance: Callable[[], Decimal]
) -> None:
    purchase = paid_purchase()
    full = balance()
    refund = {"id": "re_1", "payment_intent": purchase.stripe_payment_id, "amount": purchase.amount}
    refund |= {"status": "succeeded", "metadata": {}}

    disputes.apply_stripe_dispute(dispute_of(purchase, "needs_response"), timezone.now())
    requests.apply_stripe_refund(refund, timezone.now())
    disputes.apply_stripe_dispute(dispute_of(purchase, "lost"), timezone.now())

    assert balance() == full - purchase.credits
    assert ledger.balance(account.pk, timezone.now()).debt == 0


@pytest.mark.fault("P6")
@pytest.mark.parametrize("end", ["won", "lost"])
def test_events_in_any_order_end_in_the_same_state(
    paid_purchase: Callable[..., Purchase], account: Account, balance: Callable[[], Decimal], end: str
) -> None:
    outcomes = set()
    before = balance()
    for number, statuses in enumerate(permutations(("needs_response", "under_review", end))):
        purchase = paid_purchase(key=f"purchase-{number}")
        start = balance()
        for status in statuses:
            facts = dispute_of(purchase, status) | {"id": f"dp_{number}"}
            disputes.apply_stripe_dispute(facts, timezone.now())
        outcomes.add((Dispute.objects.get(stripe_dispute_id=f"dp_{number}").status, balance() - start))
        assert ledger.balance(account.pk, timezone.now()).debt == 0
    assert len(outcomes) == 1
    assert balance() == before + (0 if end == "lost" else 6 * purchase.credits)


def test_an_inquiry_takes_no_credits(
    paid_purchase: Callable[..., Purchase], balance: Callable[[], Decimal]
) -> None:
    purchase = paid_purchase()
    full = balance()

    disputes.apply_stripe_dispute(dispute_of(purchase, "warning_needs_response"), timezone.now())
    assert balance() == full
    disputes.apply_stripe_dispute(dispute_of(purchase, "warning_closed"), timezone.now())
    assert balance() == full


@pytest.mark.fault("P10", "P13")
def test_a_dispute_of_a_quarantined_payment_takes_its_credits_when_staff_release_it(
    new_purchase: Callable[..., Purchase], balance: Callable[[], Decimal]
) -> None:
    purchase, before, now = new_purchase(), balance(), timezone.now()
    payment = fulfilment.Payment(
        amount=purchase.amount - 1, currency=purchase.currency, payment_id="pi_checked"
    )
    quarantined = fulfilment.record_payment(purchase.pk, payment, now)
    disputes.apply_stripe_dispute(dispute_of(quarantined, "needs_response"), now)
    assert balance() == before

    fulfilment.credit_quarantined(quarantined, actor="staff", now=now)
    assert balance() == before, "credited, and taken back for the dispute"

    disputes.apply_stripe_dispute(dispute_of(quarantined, "won"), now)
    assert balance() == before + purchase.credits
