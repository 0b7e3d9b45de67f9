"""An account has one subscription: a second one that was paid anyway is cancelled and refunded by itself."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone
from structlog.testing import capture_logs

from accounts.models import Account, User
from billing import ledger, stripe_gateway
from billing.models import Mail, Purchase, Refund, StripeEvent, Subscription, SurplusSubscription
from billing.purchases import checkout, create, plan_conflicts
from billing.refunds import plan_payments
from billing.subscriptions import prices, surplus
from tests.sandbox.conftest import Buyer

pytestmark = [pytest.mark.django_db, pytest.mark.fault("P24")]


@pytest.fixture
def plan_page(stripe_api: Any, account: Account, alice: User) -> Callable[..., Purchase]:
    """An open Checkout of a plan: `plan_page("starter")`."""

    def make(plan: str, interval: str = "month") -> Purchase:
        purchase = create.plan_purchase(
            account=account,
            buyer=alice,
            origin="page",
            plan_key=plan,
            interval=interval,
            currency="usd",
            confirm=True,
            key=f"{plan}-{interval}",
            now=timezone.now(),
        )
        checkout.open_page(purchase, timezone.now())
        return purchase

    return make


@pytest.fixture
def two_paid(plan_page: Callable[..., Purchase], stripe_api: Any) -> tuple[Purchase, Purchase]:
    """Two plans, both paid at Stripe, and no event processed yet."""
    first, second = plan_page("starter"), plan_page("creator", "year")
    for purchase in (first, second):
        Buyer().pay(purchase.checkout_url)
    return first, second


def statuses(stripe_api: Any) -> list[str]:
    """The statuses of all subscriptions at Stripe, oldest first."""
    sessions = reversed(stripe_api.checkout.sessions.list({"limit": 100}).data)
    ids = [session.subscription for session in sessions if session.subscription]
    return [stripe_api.subscriptions.retrieve(stripe_id).status for stripe_id in ids]


def refunds_at_stripe(stripe_api: Any) -> list[int]:
    return [refund.amount for refund in stripe_api.refunds.list({"limit": 100}).data]


def check_one_in_force(account: Account, stripe_api: Any, winner: Purchase, loser: Purchase) -> None:
    winner.refresh_from_db()
    loser.refresh_from_db()
    plan_payments.bring_subscriptions_in_line(timezone.now())  # after the refund of the other's payment
    subscription = Subscription.objects.get(account=account)
    assert (subscription.plan, subscription.state) == (winner.offer, "active")
    assert subscription.stripe_subscription_id == winner.stripe_subscription_id
    assert (winner.status, winner.refunded) == ("paid", 0)
    assert (loser.status, loser.refunded) == ("paid", loser.amount)
    assert refunds_at_stripe(stripe_api) == [loser.amount]
    assert [refund.amount for refund in Refund.objects.all()] == [loser.amount]
    live = [status for status in statuses(stripe_api) if status == "active"]
    assert live == ["active"] and len(statuses(stripe_api)) == 2
    assert Mail.objects.filter(template="second_plan_refunded").count() == 1
    kinds = {grant.allowance.split(":")[0] for grant in ledger.balance(account.pk, timezone.now()).grants}
    assert loser.offer not in kinds and winner.offer in kinds


def test_open_pages_of_plans_are_expired_when_a_plan_is_entered(
    plan_page: Callable[..., Purchase], account: Account, stripe_api: Any, process_all_events: Any
) -> None:
    first, second = plan_page("starter"), plan_page("creator")
    Buyer().pay(first.checkout_url)
    process_all_events()

    second.refresh_from_db()
    assert second.status == "cancelled"
    assert stripe_api.checkout.sessions.retrieve(second.stripe_session_id).status == "expired"
    with pytest.raises(create.AlreadySubscribed):
        plan_page("studio")


def test_a_page_that_was_not_expired_while_stripe_was_down_is_expired_later(
    plan_page: Callable[..., Purchase], stripe_api: Any, process_all_events: Any, events: Any
) -> None:
    first, second = plan_page("starter"), plan_page("creator")
    Buyer().pay(first.checkout_url)
    for event in events("checkout.session.completed"):
        handle_without_finishing(event)
    second.refresh_from_db()
    assert second.status == "created"

    plan_conflicts.carry_out(timezone.now())

    second.refresh_from_db()
    assert second.status == "cancelled"


def handle_without_finishing(event: dict[str, Any]) -> None:
    """Apply an event as a process does that is killed before its last requests to Stripe."""
    from billing.webhooks import events as stripe_events
    from billing.webhooks import handlers

    stored = stripe_events.store(event, timezone.now(), source="webhook")
    handler = handlers.handler_of(event["type"])
    assert handler is not None
    stripe_events._apply(stored, handler, event["data"]["object"], timezone.now())


def test_an_old_page_of_a_plan_is_not_opened_again(
    plan_page: Callable[..., Purchase], process_all_events: Any
) -> None:
    old = plan_page("creator")
    Buyer().pay(plan_page("starter").checkout_url)
    process_all_events()
    Purchase.objects.filter(pk=old.pk).update(status="created")
    old.refresh_from_db()

    with pytest.raises(create.AlreadySubscribed):
        checkout.open_page(old, timezone.now())


def test_of_two_paid_plans_the_first_applied_stays_and_the_other_is_cancelled_and_refunded(
    two_paid: tuple[Purchase, Purchase], account: Account, stripe_api: Any, process_all_events: Any
) -> None:
    process_all_events()
    process_all_events()
    check_one_in_force(account, stripe_api, *two_paid)
    assert not StripeEvent.objects.filter(state__in=["quarantined", "failed"]).exists()


def test_the_return_page_of_the_second_plan_refunds_it(
    two_paid: tuple[Purchase, Purchase], account: Account, stripe_api: Any
) -> None:
    first, second = two_paid
    checkout.refresh_from_stripe(second, timezone.now())
    checkout.refresh_from_stripe(first, timezone.now())
    plan_conflicts.carry_out(timezone.now())
    check_one_in_force(account, stripe_api, second, first)


TYPES = ("checkout.session.completed", "customer.subscription.updated", "invoice.paid")


@pytest.mark.parametrize("event_type", TYPES)
def test_each_event_of_the_second_plan_cancels_and_refunds_it_without_waiting_for_another(
    two_paid: tuple[Purchase, Purchase], stripe_api: Any, events: Any, process_event: Any, event_type: str
) -> None:
    first, second = two_paid
    checkout.refresh_from_stripe(first, timezone.now())
    process_event(events(event_type)[-1])
    assert statuses(stripe_api) == ["active", "canceled"]
    assert refunds_at_stripe(stripe_api) == [second.amount]


@pytest.mark.parametrize("order", list(itertools.permutations(TYPES)))
def test_the_order_of_events_does_not_matter(
    two_paid: tuple[Purchase, Purchase],
    account: Account,
    stripe_api: Any,
    events: Any,
    process_event: Any,
    order: tuple[str, ...],
) -> None:
    for event_type in order:
        for event in reversed(events(event_type)):
            process_event(event)
    for event in reversed(events()):
        process_event(event)
    plan = Subscription.objects.get(account=account).plan
    winner, loser = sorted(two_paid, key=lambda purchase: purchase.offer != plan)
    check_one_in_force(account, stripe_api, winner, loser)


def test_a_process_killed_before_cancelling_or_refunding_is_continued(
    two_paid: tuple[Purchase, Purchase], account: Account, stripe_api: Any, events: Any
) -> None:
    for event in events("checkout.session.completed"):
        handle_without_finishing(event)
    assert statuses(stripe_api) == ["active", "active"] and refunds_at_stripe(stripe_api) == []

    plan_conflicts.carry_out(timezone.now())
    plan_conflicts.carry_out(timezone.now())

    check_one_in_force(account, stripe_api, *two_paid)


def test_a_plan_replaces_one_that_has_ended_at_stripe_although_no_event_said_so(
    plan_page: Callable[..., Purchase], account: Account, stripe_api: Any, process_all_events: Any
) -> None:
    first, second = plan_page("starter"), plan_page("creator")
    Buyer().pay(first.checkout_url)
    Buyer().pay(second.checkout_url)
    checkout.refresh_from_stripe(first, timezone.now())
    first.refresh_from_db()
    stripe_api.subscriptions.cancel(first.stripe_subscription_id)

    checkout.refresh_from_stripe(second, timezone.now())
    process_all_events()

    assert Subscription.objects.get(account=account).plan == "creator"
    assert not SurplusSubscription.objects.exists()
    assert refunds_at_stripe(stripe_api) == []


def test_staff_and_buyer_see_the_refunded_plan(
    two_paid: tuple[Purchase, Purchase],
    alice: User,
    signed_in: Callable[[User], Any],
    process_all_events: Any,
) -> None:
    process_all_events()
    _first, second = two_paid
    browser = signed_in(alice)
    page = browser.get(f"/billing/purchases/{second.public_id}/return/").content.decode()
    assert "was cancelled and refunded" in page and "Welcome to" not in page
    assert "Refunded" in browser.get(f"/billing/purchases/{second.public_id}/").content.decode()
    assert "Refunded" in browser.get("/billing/purchases/").content.decode()
    assert SurplusSubscription.objects.get().reason == "second"


def test_a_refused_cancellation_keeps_its_reason_and_is_tried_again(
    two_paid: tuple[Purchase, Purchase],
    stripe_api: Any,
    events: Any,
    monkeypatch: pytest.MonkeyPatch,
    account: Account,
) -> None:
    for event in events("checkout.session.completed"):
        handle_without_finishing(event)
    row = SurplusSubscription.objects.get()
    surplus.record(account.pk, "sub_that_has_ended", reason=row.reason, now=timezone.now())

    def refuse(stripe_id: str) -> None:
        if stripe_id == row.stripe_subscription_id:
            raise stripe_gateway.InvalidRequest("not now")
        raise stripe_gateway.ResourceMissing("no such subscription")

    with monkeypatch.context() as patched:
        patched.setattr(stripe_gateway, "cancel_subscription", refuse)
        plan_conflicts.carry_out(timezone.now())
    row.refresh_from_db()
    assert (row.cancelled_at, row.error) == (None, "not now")
    assert SurplusSubscription.objects.exclude(pk=row.pk).get().cancelled_at is not None

    plan_conflicts.carry_out(timezone.now())
    row.refresh_from_db()
    assert row.cancelled_at is not None and row.error == ""


def test_a_second_subscription_that_staff_made_at_stripe_is_cancelled_and_refunded(
    plan_page: Callable[..., Purchase], stripe_api: Any, process_all_events: Any, account: Account
) -> None:
    Buyer().pay(plan_page("starter").checkout_url)
    process_all_events()
    first = Subscription.objects.get(account=account).stripe_subscription_id
    made = stripe_api.subscriptions.retrieve(first)
    price = prices.ensure_price(plan_key="creator", interval="month", currency="usd", amount=1990)
    second = stripe_api.subscriptions.create(
        {
            "customer": made.customer,
            "items": [{"price": price}],
            "default_payment_method": made.default_payment_method,
        }
    )

    assert {event.state for event in process_all_events()} <= {"done", "ignored"}

    assert SurplusSubscription.objects.get().stripe_subscription_id == second.id
    assert [stripe_api.subscriptions.retrieve(each).status for each in (first, second.id)] == [
        "active",
        "canceled",
    ]
    assert refunds_at_stripe(stripe_api) == [1990]


def test_what_was_paid_for_a_surplus_subscription_is_refunded_when_it_is_recorded_first(
    account: Account, catalogue: None
) -> None:
    def buy(number: int, subscription: str, status: str = "paid") -> Purchase:
        return Purchase.objects.create(
            account=account,
            kind="plan",
            status=status,
            amount=700,
            list_amount=700,
            created_at=timezone.now(),
            paid_at=timezone.now() if status == "paid" else None,
            currency="usd",
            stripe_subscription_id=subscription,
            stripe_payment_id=f"pi_{number}",
            idempotency_key=f"key-{number}",
        )

    first, second = buy(1, "sub_surplus"), buy(2, "sub_surplus")
    buy(3, "sub_other")
    buy(4, "sub_surplus", "pending")

    surplus.record(account.pk, "sub_surplus", reason="second", now=timezone.now())
    later = buy(5, "sub_surplus")
    with capture_logs() as logged:
        surplus.record(account.pk, "sub_surplus", reason="second", now=timezone.now())

    refunds = Refund.objects.order_by("created_at").values_list("purchase", "amount")
    assert list(refunds) == [(first.pk, 700), (second.pk, 700)]
    assert logged == [] and later.refunded == 0
