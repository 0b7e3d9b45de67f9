"""Payments that banks pull back."""

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
def test_a_dispute_freezes_what_is_unspent_and_books_the_rest_as_debt(
    paid: Callable[..., Purchase], account: Account, balance: Callable[[], Decimal]
) -> None:
    purchase = paid()
    now = timezone.now()
    everything = balance()
    order = ledger.ChargeRequest(account_id=account.pk, credits=everything - 30, key="u", service="gpt-4o")
    ledger.charge(order, now)

    disputes.apply_stripe_dispute(dispute_of(purchase, "needs_response"), now)

    after = ledger.balance(account.pk, now)
    assert (after.total, after.debt) == (0, purchase.credits - 30)


@pytest.mark.fault("P14")
def test_a_won_dispute_restores_exactly_once(
    paid: Callable[..., Purchase], balance: Callable[[], Decimal]
) -> None:
    purchase = paid()
    full = balance()

    for status in ("needs_response", "under_review", "won", "won", "needs_response"):
        disputes.apply_stripe_dispute(dispute_of(purchase, status), timezone.now())

    assert balance() == full
    assert Dispute.objects.get().status == Dispute.Status.WON


@pytest.mark.fault("P14")
def test_a_dispute_and_a_refund_of_one_purchase_take_it_back_once(
    paid: Callable[..., Purchase], account: Account, balance: Callable[[], Decimal]
) -> None:
    purchase = paid()
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
def test_every_order_of_its_news_ends_in_the_same_state(
    paid: Callable[..., Purchase], account: Account, balance: Callable[[], Decimal], end: str
) -> None:
    outcomes = set()
    before = balance()
    for number, order in enumerate(permutations(("needs_response", "under_review", end))):
        purchase = paid(key=f"order-{number}")
        start = balance()
        for status in order:
            facts = dispute_of(purchase, status) | {"id": f"dp_{number}"}
            disputes.apply_stripe_dispute(facts, timezone.now())
        outcomes.add((Dispute.objects.get(stripe_dispute_id=f"dp_{number}").status, balance() - start))
        assert ledger.balance(account.pk, timezone.now()).debt == 0
    assert len(outcomes) == 1
    assert balance() == before + (0 if end == "lost" else 6 * purchase.credits)


def test_an_inquiry_takes_nothing(paid: Callable[..., Purchase], balance: Callable[[], Decimal]) -> None:
    purchase = paid()
    full = balance()

    disputes.apply_stripe_dispute(dispute_of(purchase, "warning_needs_response"), timezone.now())
    assert balance() == full
    disputes.apply_stripe_dispute(dispute_of(purchase, "warning_closed"), timezone.now())
    assert balance() == full


@pytest.mark.fault("P10", "P13")
def test_a_dispute_of_a_payment_being_checked_takes_its_credits_when_staff_release_it(
    order: Callable[..., Purchase], balance: Callable[[], Decimal]
) -> None:
    purchase, before, now = order(), balance(), timezone.now()
    less = fulfilment.Payment(amount=purchase.amount - 1, currency=purchase.currency, payment_id="pi_checked")
    checked = fulfilment.record_payment(purchase.pk, less, now)
    disputes.apply_stripe_dispute(dispute_of(checked, "needs_response"), now)
    assert balance() == before

    fulfilment.credit_quarantined(checked, actor="staff", now=now)
    assert balance() == before, "credited as ordered, and taken back with the money"

    disputes.apply_stripe_dispute(dispute_of(checked, "won"), now)
    assert balance() == before + purchase.credits
