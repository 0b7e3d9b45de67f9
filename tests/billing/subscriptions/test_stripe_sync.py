"""Events and retrieved subscriptions of Stripe change the account's plan."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Account
from billing import ledger
from billing.models import Purchase, StripeEvent, Subscription
from billing.payments import customers
from billing.subscriptions import plan_terms
from billing.webhooks import events as stripe_events
from tests.billing.subscriptions.conftest import of_kind

pytestmark = pytest.mark.django_db


@pytest.mark.requirement("REFLY-02")
def test_subscribing_grants_the_credits_at_once_and_records_a_purchase_with_an_invoice(
    subscribe: Callable[..., Subscription], account: Account, process_all_events: Callable[[], Any]
) -> None:
    after = subscribe("starter")

    assert (after.plan, after.state, after.amount) == ("starter", "active", 990)
    assert (of_kind(account, "daily"), of_kind(account, "bonus")) == (200, 1000)
    states = {event.state for event in process_all_events()}
    assert states <= {"done", "ignored"}
    purchase = Purchase.objects.get()
    assert (purchase.status, purchase.amount, purchase.kind) == ("paid", 990, "plan")
    assert purchase.invoice_number
    assert (of_kind(account, "daily"), of_kind(account, "bonus")) == (200, 1000)


@pytest.mark.fault("P6")
def test_events_in_any_order_end_in_the_same_state(
    subscribe: Callable[..., Subscription],
    events: Callable[..., Any],
    process_event: Callable[..., StripeEvent],
    account: Account,
) -> None:
    subscribe("starter")
    event_list = events(
        "invoice.paid",
        "checkout.session.completed",
        "customer.subscription.created",
        "customer.subscription.updated",
        "payment_intent.succeeded",
    )
    assert len(event_list) >= 4
    for number, ordered in enumerate(
        (event_list, event_list[::-1], event_list[1:] + event_list[:1], event_list[2:] + event_list[:2])
    ):
        for event in ordered:
            assert process_event({**event, "id": f"{event['id']}_{number}"}).state in {"done", "ignored"}
        subscription = Subscription.objects.get(account=account)
        assert (subscription.plan, subscription.state) == ("starter", "active")
        assert Purchase.objects.get().status == "paid"
        assert (of_kind(account, "daily"), of_kind(account, "bonus")) == (200, 1000)


@pytest.mark.requirement("REFLY-09")
def test_a_webhook_cannot_put_an_account_on_a_legacy_plan(
    stripe_api: Any,
    account: Account,
    events: Callable[..., Any],
    process_event: Callable[..., StripeEvent],
) -> None:
    from billing.subscriptions import prices

    price = prices.ensure_price(plan_key="pro", interval="month", currency="usd", amount=1000)
    customer = customers.ensure_customer(account)
    card = stripe_api.payment_methods.attach("pm_card_visa", {"customer": customer})
    stripe_api.subscriptions.create(
        {
            "customer": customer,
            "items": [{"price": price}],
            "default_payment_method": card.id,
            "metadata": {"account": account.public_id},
        }
    )

    states = [process_event(event).state for event in events("customer.subscription.created", "invoice.paid")]

    assert "quarantined" in states
    assert Subscription.objects.get(account=account).plan == "free-trial"
    assert of_kind(account, "plan") == 0


def test_an_overdue_subscription_grants_no_credits_until_it_is_paid(
    subscribe: Callable[..., Subscription],
    account: Account,
    monkeypatch: pytest.MonkeyPatch,
    stripe_api: Any,
) -> None:
    from billing import stripe_gateway
    from billing.subscriptions import stripe_sync

    subscription = subscribe("starter")
    payload = stripe_gateway.retrieve_subscription(subscription.stripe_subscription_id)
    now = timezone.now() + timedelta(hours=1)
    overdue = {
        **payload,
        "status": "past_due",
        "latest_invoice": {"id": "in_2", "hosted_invoice_url": "https://pay"},
    }

    stripe_sync.apply_snapshot(overdue, now)

    subscription.refresh_from_db()
    assert (subscription.state, subscription.recovery_url) == ("past_due", "https://pay")
    tomorrow = ledger.balance(account.pk, now + timedelta(days=1))
    assert sum(grant.remaining for grant in tomorrow.grants if grant.kind == "daily") == 0
    assert plan_terms.get(account.pk).past_due

    stripe_sync.apply_snapshot(payload, now + timedelta(days=1))
    subscription.refresh_from_db()
    assert (subscription.state, subscription.recovery_url) == ("active", "")
    again = ledger.balance(account.pk, now + timedelta(days=1))
    assert sum(grant.remaining for grant in again.grants if grant.kind == "daily") == 200


def test_events_of_an_interrupted_process_are_processed_later(
    subscribe: Callable[..., Subscription], events: Callable[..., Any]
) -> None:
    subscribe("starter")
    for event in events("invoice.paid"):
        stripe_events.store(event, timezone.now(), source="webhook")

    assert stripe_events.process_waiting(timezone.now()) == 1
    assert StripeEvent.objects.get().state == StripeEvent.State.DONE
