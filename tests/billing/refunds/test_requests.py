"""Money back: what is unspent, within the window, once; and what becomes of the credits."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Account
from billing import ledger, stripe_gateway
from billing.models import Mail, Purchase, Refund, StripeEvent
from billing.refunds import requests

pytestmark = pytest.mark.django_db


@pytest.fixture
def spend(account: Account) -> Callable[[Decimal], Any]:
    """Use everything but what a purchase gave, and so much of that."""

    def use(credits: Decimal) -> None:
        now = timezone.now()
        others = ledger.balance(account.pk, now)
        free = sum((grant.remaining for grant in others.grants if grant.purchase_id is None), Decimal(0))
        order = ledger.ChargeRequest(
            account_id=account.pk, credits=free + credits, key=f"use-{credits}", service="gpt-4o"
        )
        ledger.charge(order, now)

    return use


@pytest.fixture
def window(stripe_world: Any, catalogue: None) -> None:
    """Refly has no refund window of its own: give it Apinfer's 30 days."""
    from pricing.catalogue import cache as catalogue_cache
    from pricing.models import Catalogue

    row = Catalogue.objects.get()
    row.policies["refund_window_days"] = 30
    row.save(update_fields=["policies"])
    catalogue_cache.changed()


@pytest.mark.requirement("APIN-10")
def test_unspent_credits_are_refunded_and_leave_the_balance_at_the_approval(
    window: None,
    paid: Callable[..., Purchase],
    spend: Callable[[Decimal], Any],
    balance: Callable[[], Decimal],
) -> None:
    purchase = paid()
    half = purchase.credits / 2
    spend(half)
    asked = requests.create(purchase=purchase, user=purchase.buyer, message="too many", now=timezone.now())
    assert asked.amount == purchase.amount // 2
    assert balance() == half

    done = requests.approve(asked, actor="staff", reason="fine", now=timezone.now())

    assert (done.status, done.amount) == (Refund.Status.DONE, purchase.amount // 2)
    assert balance() == 0
    purchase.refresh_from_db()
    assert purchase.refunded == purchase.amount // 2
    assert Mail.objects.filter(template="refunded").count() == 1


def test_what_is_spent_after_the_request_is_not_refunded(
    window: None, paid: Callable[..., Purchase], spend: Callable[[Decimal], Any]
) -> None:
    purchase = paid()
    asked = requests.create(purchase=purchase, user=None, message="", now=timezone.now())
    spend(purchase.credits * 3 / 4)

    done = requests.approve(asked, actor="staff", reason="", now=timezone.now())

    assert done.amount == purchase.amount // 4


@pytest.mark.requirement("APIN-10")
def test_the_thirty_first_day_is_refused(
    window: None, paid: Callable[..., Purchase], later: Callable[..., Any]
) -> None:
    purchase = paid()
    assert requests.refundable(purchase, later(days=29, hours=23)).amount == purchase.amount

    with pytest.raises(requests.RefundRefused) as refusal:
        requests.create(purchase=purchase, user=None, message="", now=later(days=30, seconds=5))
    assert refusal.value.code == "window_over"


def test_a_request_stands_once_and_is_decided_once(window: None, paid: Callable[..., Purchase]) -> None:
    purchase = paid()
    asked = requests.create(purchase=purchase, user=None, message="", now=timezone.now())

    with pytest.raises(requests.RefundRefused):
        requests.create(purchase=purchase, user=None, message="", now=timezone.now())
    requests.refuse(asked, actor="staff", reason="No.", now=timezone.now())
    with pytest.raises(requests.RefundRefused):
        requests.approve(asked, actor="staff", reason="", now=timezone.now())
    assert Mail.objects.get(template="refund_refused").context["decision"] == "No."


@pytest.mark.fault("P12")
def test_two_partial_refunds_from_the_dashboard_delivered_twice_count_once_each(
    stripe_world: Any,
    paid: Callable[..., Purchase],
    events: Callable[..., Any],
    tell: Callable[..., StripeEvent],
    balance: Callable[[], Decimal],
) -> None:
    purchase = paid()
    full = balance()
    for amount in (purchase.amount // 4, purchase.amount // 2):
        stripe_world.refunds.create({"payment_intent": purchase.stripe_payment_id, "amount": amount})
    told = events()
    again = [{**event, "id": f"{event['id']}_again"} for event in told]

    for event in [*reversed(told), *again]:  # the totals before the parts, and everything twice
        tell(event)

    purchase.refresh_from_db()
    assert purchase.refunded == purchase.amount // 4 + purchase.amount // 2
    assert balance() == full - purchase.credits * 3 / 4
    assert sum(refund.amount for refund in purchase.refunds.all()) == purchase.refunded


@pytest.mark.fault("P13")
def test_a_refund_of_spent_credits_becomes_a_debt_that_new_credits_repay_first(
    stripe_world: Any,
    paid: Callable[..., Purchase],
    spend: Callable[[Decimal], Any],
    account: Account,
    balance: Callable[[], Decimal],
) -> None:
    purchase = paid()
    spend(purchase.credits - 10)
    facts = stripe_gateway.to_plain(
        stripe_world.refunds.create({"payment_intent": purchase.stripe_payment_id, "amount": purchase.amount})
    )

    requests.apply_stripe_refund(facts, timezone.now())

    now = timezone.now()
    assert ledger.balance(account.pk, now).debt == purchase.credits - 10
    with pytest.raises(ledger.InDebt):
        ledger.charge(
            ledger.ChargeRequest(account_id=account.pk, credits=Decimal(1), key="x", service="gpt-4o"), now
        )
    paid(key="second")
    assert ledger.balance(account.pk, now).debt == 0
    assert balance() == 10


@pytest.mark.fault("P20")
def test_a_refund_that_fails_at_the_bank_brings_the_credits_back(
    window: None, paid: Callable[..., Purchase], balance: Callable[[], Decimal]
) -> None:
    purchase = paid()
    full = balance()
    asked = requests.create(purchase=purchase, user=None, message="", now=timezone.now())
    done = requests.approve(asked, actor="staff", reason="", now=timezone.now())
    assert balance() == full - purchase.credits
    news = {
        "id": done.stripe_refund_id,
        "status": "failed",
        "failure_reason": "lost_or_stolen_card",
        "metadata": {},
    }

    for _ in range(2):
        requests.apply_stripe_refund(news, timezone.now())

    done.refresh_from_db()
    purchase.refresh_from_db()
    assert (done.status, done.trouble, purchase.refunded) == (Refund.Status.FAILED, "lost_or_stolen_card", 0)
    assert balance() == full


def test_stripe_being_down_at_the_approval_sends_the_refund_later(
    window: None, paid: Callable[..., Purchase], monkeypatch: pytest.MonkeyPatch
) -> None:
    purchase = paid()
    asked = requests.create(purchase=purchase, user=None, message="", now=timezone.now())

    def down(**_: Any) -> None:
        raise stripe_gateway.StripeUnavailable("timed out")

    with monkeypatch.context() as patch:
        patch.setattr(stripe_gateway, "create_refund", down)
        assert requests.approve(asked, actor="staff", reason="", now=timezone.now()).status == "approved"

    assert requests.send_approved(timezone.now()) == 1
    asked.refresh_from_db()
    assert asked.status == Refund.Status.DONE
