"""Which open payment pages of plans are closed, and payment pages of plans that have created nothing yet."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Account
from billing import offers, stripe_gateway
from billing.models import Purchase, Subscription, SurplusSubscription
from billing.purchases import checkout, plan_checkout, plan_conflicts
from billing.subscriptions import stripe_objects, stripe_sync

pytestmark = [pytest.mark.django_db, pytest.mark.fault("P24")]


@pytest.fixture
def plan(account: Account) -> Callable[..., Purchase]:
    """A purchase of a plan whose payment page is open."""

    def make(key: str, **fields: Any) -> Purchase:
        values: dict[str, Any] = {"kind": "plan", "origin": "page", "amount": 900, "list_amount": 900}
        values |= {"currency": "usd", "credits": 0, "offer": "starter", "label": "Starter"}
        values |= {"created_at": timezone.now() + timedelta(seconds=Purchase.objects.count())}
        made: Purchase = Purchase.objects.create(account=account, idempotency_key=key, **values | fields)
        return made

    return make


@pytest.mark.parametrize(
    ("subscription", "other", "closed"),
    [
        ("sub_1", {}, 1),
        (None, {"kind": "plan", "status": "pending"}, 1),
        (None, {}, 0),
        (None, {"kind": "pack", "status": "pending"}, 0),
        (None, {"kind": "plan", "status": "failed"}, 0),
    ],
    ids=str,
)
def test_the_payment_page_of_a_plan_is_closed_while_there_is_a_subscription_or_a_pending_payment(
    plan: Callable[..., Purchase],
    account: Account,
    subscription: str | None,
    other: dict[str, str],
    closed: int,
) -> None:
    Subscription.objects.filter(account=account).update(stripe_subscription_id=subscription)
    open_page = plan("open")
    plan("a pack", kind="pack")
    if other:
        plan("other", **other)
    assert plan_conflicts.carry_out(timezone.now()) == closed
    cancelled = Purchase.objects.filter(status="cancelled")
    assert list(cancelled) == ([open_page] if closed else [])


@pytest.mark.parametrize(
    "error",
    [
        stripe_gateway.StripeUnavailable,
        stripe_sync.StaleSnapshot,
        stripe_objects.UnmatchedObject,
        offers.PlanClosed,
    ],
)
def test_a_payment_page_that_cannot_be_closed_does_not_stop_the_others(
    plan: Callable[..., Purchase], account: Account, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    Subscription.objects.filter(account=account).update(stripe_subscription_id="sub_1")
    first, second = plan("first"), plan("second")
    cancel = checkout.cancel

    def cancel_or_fail(purchase: Purchase, now: Any) -> Purchase:
        if purchase == first:
            raise error
        return cancel(purchase, now)

    monkeypatch.setattr(checkout, "cancel", cancel_or_fail)
    assert plan_conflicts.carry_out(timezone.now()) == 1
    assert [Purchase.objects.get(pk=one.pk).status for one in (first, second)] == ["created", "cancelled"]


@pytest.fixture
def hundred_and_one(account: Account) -> int:
    """Open payment pages of plans, and surplus subscriptions: one more of each than a run takes."""
    number = 101
    Subscription.objects.filter(account=account).update(stripe_subscription_id="sub_1")
    now = timezone.now()
    values: dict[str, Any] = {"kind": "plan", "origin": "page", "amount": 900, "list_amount": 900}
    values |= {"credits": 0, "currency": "usd", "offer": "starter", "label": "Starter", "created_at": now}
    Purchase.objects.bulk_create(
        Purchase(account=account, idempotency_key=str(one), **values) for one in range(number)
    )
    SurplusSubscription.objects.bulk_create(
        SurplusSubscription(
            account=account, stripe_subscription_id=f"sub_{one}", reason="second", created_at=now
        )
        for one in range(number)
    )
    return number


def test_one_run_closes_a_hundred_payment_pages_and_cancels_a_hundred_subscriptions(
    hundred_and_one: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[Purchase] = []
    cancelled: list[str] = []

    def close(purchase: Purchase, _now: Any) -> Purchase:
        closed.append(purchase)
        return Purchase(status="cancelled")

    monkeypatch.setattr(checkout, "cancel", close)
    monkeypatch.setattr(stripe_gateway, "cancel_subscription", cancelled.append)
    assert plan_conflicts.carry_out(timezone.now()) == 200
    assert (len(closed), len(set(cancelled))) == (100, 100)
    assert SurplusSubscription.objects.get(cancelled_at=None).stripe_subscription_id not in cancelled


def test_a_hundred_that_stripe_always_refuses_keep_no_other_waiting(
    hundred_and_one: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last of both is taken with a chance of 100 in 101 in each run: in ten runs for certain."""
    tried: set[Any] = set()

    def refuse(one: Any, *_: Any) -> None:
        tried.add(one)
        raise stripe_gateway.InvalidRequest("no")

    monkeypatch.setattr(checkout, "cancel", refuse)
    monkeypatch.setattr(stripe_gateway, "cancel_subscription", refuse)
    for _ in range(10):
        plan_conflicts.carry_out(timezone.now())
    assert len(tried) == 2 * hundred_and_one


@pytest.mark.parametrize("created", [{}, {"subscription": "sub_1"}, {"invoice": "in_1"}], ids=str)
def test_a_session_that_has_created_no_subscription_with_an_invoice_changes_nothing(
    plan: Callable[..., Purchase], monkeypatch: pytest.MonkeyPatch, created: dict[str, str]
) -> None:
    session: dict[str, Any] = {"id": "cs_1", "status": "open", "subscription": None, "invoice": None}
    monkeypatch.setattr(stripe_gateway, "retrieve_checkout_session", lambda _id: session | created)
    purchase = plan("open", stripe_session_id="cs_1")
    for status, expected in (("open", "created"), ("complete", "created"), ("expired", "cancelled")):
        session["status"] = status
        plan_checkout.synchronize(purchase, timezone.now())
        assert Purchase.objects.get().status == expected
