"""Refund requests, decisions, and updates from Stripe."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
import stripe
from django.utils import timezone

from accounts.models import Account
from billing import ledger, stripe_gateway, tasks
from billing.models import Mail, Purchase, Refund, StripeEvent
from billing.refunds import requests, stripe_refunds
from billing.stripe_gateway import client

pytestmark = pytest.mark.django_db


@pytest.fixture
def spend(account: Account) -> Callable[[Decimal], Any]:
    """Spend all other credits, and the given number of those that were bought."""

    def charge(credits: Decimal) -> None:
        now = timezone.now()
        balance = ledger.balance(account.pk, now)
        others = sum((grant.remaining for grant in balance.grants if grant.purchase_id is None), Decimal(0))
        request = ledger.ChargeRequest(
            account_id=account.pk, credits=others + credits, key=f"use-{credits}", service="gpt-4o"
        )
        ledger.charge(request, now)

    return charge


@pytest.mark.requirement("APIN-10")
def test_unspent_credits_are_refunded_and_leave_the_balance_at_the_approval(
    refund_window: None,
    paid_purchase: Callable[..., Purchase],
    spend: Callable[[Decimal], Any],
    balance: Callable[[], Decimal],
) -> None:
    purchase = paid_purchase()
    half = purchase.credits / 2
    spend(half)
    refund = requests.create(purchase=purchase, user=purchase.buyer, message="too many", now=timezone.now())
    assert refund.amount == purchase.amount // 2
    assert balance() == half

    done = requests.approve(refund, actor="staff", reason="fine", now=timezone.now())

    assert (done.status, done.amount) == (Refund.Status.DONE, purchase.amount // 2)
    assert balance() == 0
    purchase.refresh_from_db()
    assert purchase.refunded == purchase.amount // 2
    assert Mail.objects.filter(template="refunded").count() == 1


def test_credits_spent_after_the_request_are_not_refunded(
    refund_window: None, paid_purchase: Callable[..., Purchase], spend: Callable[[Decimal], Any]
) -> None:
    purchase = paid_purchase()
    refund = requests.create(purchase=purchase, user=None, message="", now=timezone.now())
    spend(purchase.credits * 3 / 4)

    done = requests.approve(refund, actor="staff", reason="", now=timezone.now())

    assert done.amount == purchase.amount // 4


def test_credits_that_came_back_since_the_request_are_refunded_too(
    refund_window: None,
    account: Account,
    paid_purchase: Callable[..., Purchase],
    spend: Callable[[Decimal], Any],
) -> None:
    purchase, now = paid_purchase(), timezone.now()
    spend(Decimal(0))
    half = ledger.ChargeRequest(
        account_id=account.pk, credits=purchase.credits / 2, key="hold", service="gpt-4o"
    )
    held = ledger.hold(half, expires_at=now + timedelta(hours=1), now=now)
    refund = requests.create(purchase=purchase, user=None, message="", now=now)
    assert refund.amount == purchase.amount // 2
    ledger.release(account_id=account.pk, hold_id=held.hold_id, now=now)

    done = requests.approve(refund, actor="staff", reason="", now=now)

    assert (done.amount, done.credits) == (purchase.amount, purchase.credits)


@pytest.mark.requirement("APIN-10")
def test_a_refund_is_refused_after_thirty_days(
    refund_window: None, paid_purchase: Callable[..., Purchase], later: Callable[..., Any]
) -> None:
    purchase = paid_purchase()
    assert requests.refundable(purchase, later(days=29, hours=23)).amount == purchase.amount

    with pytest.raises(requests.RefundRefused) as refusal:
        requests.create(purchase=purchase, user=None, message="", now=later(days=30, seconds=5))
    assert refusal.value.code == "window_over"


def test_a_purchase_has_one_open_request_which_is_decided_once(
    refund_window: None, paid_purchase: Callable[..., Purchase]
) -> None:
    purchase = paid_purchase()
    refund = requests.create(purchase=purchase, user=None, message="", now=timezone.now())

    with pytest.raises(requests.RefundRefused):
        requests.create(purchase=purchase, user=None, message="", now=timezone.now())
    requests.refuse(refund, actor="staff", reason="No.", now=timezone.now())
    with pytest.raises(requests.RefundRefused):
        requests.approve(refund, actor="staff", reason="", now=timezone.now())
    assert Mail.objects.get(template="refund_refused").context["decision"] == "No."


@pytest.mark.fault("P12")
def test_two_partial_refunds_from_the_dashboard_delivered_twice_count_once_each(
    stripe_api: Any,
    paid_purchase: Callable[..., Purchase],
    events: Callable[..., Any],
    process_event: Callable[..., StripeEvent],
    balance: Callable[[], Decimal],
) -> None:
    purchase = paid_purchase()
    full = balance()
    for amount in (purchase.amount // 4, purchase.amount // 2):
        stripe_api.refunds.create({"payment_intent": purchase.stripe_payment_id, "amount": amount})
    received = events()
    repeated = [{**event, "id": f"{event['id']}_again"} for event in received]

    for event in [*reversed(received), *repeated]:  # the totals before the parts, and everything twice
        process_event(event)

    purchase.refresh_from_db()
    assert purchase.refunded == purchase.amount // 4 + purchase.amount // 2
    assert balance() == full - purchase.credits * 3 / 4
    assert sum(refund.amount for refund in purchase.refunds.all()) == purchase.refunded


@pytest.mark.fault("P13")
def test_a_refund_of_spent_credits_becomes_a_debt_that_new_credits_repay_first(
    stripe_api: Any,
    paid_purchase: Callable[..., Purchase],
    spend: Callable[[Decimal], Any],
    account: Account,
    balance: Callable[[], Decimal],
) -> None:
    purchase = paid_purchase()
    spend(purchase.credits - 10)
    facts = stripe_gateway.to_plain(
        stripe_api.refunds.create({"payment_intent": purchase.stripe_payment_id, "amount": purchase.amount})
    )

    stripe_refunds.apply_stripe_refund(facts, timezone.now())

    now = timezone.now()
    assert ledger.balance(account.pk, now).debt == purchase.credits - 10
    with pytest.raises(ledger.InDebt):
        ledger.charge(
            ledger.ChargeRequest(account_id=account.pk, credits=Decimal(1), key="x", service="gpt-4o"), now
        )
    paid_purchase(key="second")
    assert ledger.balance(account.pk, now).debt == 0
    assert balance() == 10


@pytest.mark.fault("P20")
def test_a_refund_that_fails_at_the_bank_restores_the_credits(
    refund_window: None, paid_purchase: Callable[..., Purchase], balance: Callable[[], Decimal]
) -> None:
    purchase = paid_purchase()
    full = balance()
    refund = requests.create(purchase=purchase, user=None, message="", now=timezone.now())
    done = requests.approve(refund, actor="staff", reason="", now=timezone.now())
    assert balance() == full - purchase.credits
    update = {
        "id": done.stripe_refund_id,
        "status": "failed",
        "failure_reason": "lost_or_stolen_card",
        "metadata": {},
    }

    for _ in range(2):
        stripe_refunds.apply_stripe_refund(update, timezone.now())

    done.refresh_from_db()
    purchase.refresh_from_db()
    assert (done.status, done.error, purchase.refunded) == (Refund.Status.FAILED, "lost_or_stolen_card", 0)
    assert balance() == full


def test_a_refund_approved_during_an_outage_of_stripe_is_sent_later(
    refund_window: None, paid_purchase: Callable[..., Purchase], monkeypatch: pytest.MonkeyPatch
) -> None:
    purchase = paid_purchase()
    refund = requests.create(purchase=purchase, user=None, message="", now=timezone.now())

    def fail(**_: Any) -> None:
        raise stripe_gateway.StripeUnavailable("timed out")

    with monkeypatch.context() as patch:
        patch.setattr(stripe_gateway, "create_refund", fail)
        assert requests.approve(refund, actor="staff", reason="", now=timezone.now()).status == "approved"

    assert requests.send_approved(timezone.now()) == 1
    refund.refresh_from_db()
    assert refund.status == Refund.Status.DONE


@pytest.mark.fault("P17", "P20")
@pytest.mark.parametrize(
    "error", [stripe.IdempotencyError, stripe.AuthenticationError, stripe.APIConnectionError]
)
def test_a_refund_whose_response_was_lost_is_sent_again_and_refunded_once(
    refund_window: None,
    stripe_api: Any,
    paid_purchase: Callable[..., Purchase],
    monkeypatch: pytest.MonkeyPatch,
    error: Any,
) -> None:
    purchase = paid_purchase()
    refund = requests.create(purchase=purchase, user=None, message="", now=timezone.now())

    class Client:
        """Creates the refund and loses the response."""

        class v1:
            class refunds:
                @staticmethod
                def create(*arguments: Any) -> Any:
                    stripe_api.refunds.create(*arguments)
                    raise error("lost")

    with monkeypatch.context() as patch:
        patch.setattr(client, "_client", lambda *_: Client)
        assert requests.approve(refund, actor="staff", reason="", now=timezone.now()).status == "approved"
    tasks.reconcile()

    assert Refund.objects.get().status == Refund.Status.DONE
    assert len(stripe_api.refunds.list({}).data) == 1
