"""Events and responses in any order, with repetitions, end in the same state."""

import json
import math
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

from accounts.models import Account, User
from billing import ledger, stripe_gateway
from billing.models import Grant, Mail, Purchase, Subscription
from billing.payments import customers
from billing.purchases import checkout, create
from billing.stripe_gateway import client
from billing.subscriptions import prices, stripe_sync
from billing.webhooks import events as stripe_events
from billing.webhooks import handlers
from tests.billing import stripe_sandbox
from tests.billing.ledger.state import broken
from tests.sandbox.conftest import Buyer

pytestmark = pytest.mark.django_db


@pytest.fixture
def every_order(account: Account, monkeypatch: pytest.MonkeyPatch) -> Callable[..., set[Any]]:
    """Apply events in every order, one of them twice, each time to the same state; the final states."""
    responses: dict[str, Any] = {}

    def cached_request(send: Callable[[Any], Any]) -> Any:
        """Stripe's state does not change in between, so each request is sent once."""
        key = repr([cell.cell_contents for cell in send.__closure__ or ()]) + send.__code__.co_code.hex()
        if key not in responses:
            responses[key] = send(stripe_sandbox.api())
        return responses[key]

    def apply(event: dict[str, Any]) -> None:
        stored = stripe_events.store(event, timezone.now(), source="webhook")
        stored = stripe_events.process(stored.pk, timezone.now())
        assert stored.state in {"done", "ignored"}, stored.error

    def apply_all(received: list[dict[str, Any]], state: Callable[[], Any]) -> set[Any]:
        monkeypatch.setattr(client, "request", cached_request)
        outcomes: list[str] = []

        def go_on(applied: list[dict[str, Any]], waiting: list[dict[str, Any]]) -> None:
            """Each of the waiting events may be next; orders that begin alike share their beginning."""
            if not waiting:
                assert len(outcomes) % 12 or broken([account.pk]) == []
                outcomes.append(json.dumps(state(), default=str))
            if len(applied) == 3:
                apply(received[len(outcomes) % len(received)])  # one that came, or that comes later, again
            for event in waiting:
                with transaction.atomic():
                    apply(event)
                    go_on([*applied, event], [one for one in waiting if one is not event])
                    transaction.set_rollback(True)

        go_on([], received)
        assert len(outcomes) == math.factorial(len(received))
        return set(outcomes)

    return apply_all


def purchases_of(account: Account) -> list[Any]:
    return list(
        Purchase.objects.filter(account=account)
        .order_by("created_at")
        .values("status", "refunded", "amount", "stripe_payment_id", "invoice_number")
    )


@pytest.mark.fault("P6", "P12", "P20")
def test_the_five_events_of_a_pack_with_a_failed_refund(
    new_purchase: Callable[..., Purchase],
    pay: Callable[..., Any],
    stripe_api: Any,
    events: Callable[..., Any],
    every_order: Callable[..., set[Any]],
    account: Account,
) -> None:
    purchase = new_purchase()
    pay(purchase, "4000 0000 0000 5126")  # pays, and its refunds fail
    [payment] = stripe_api.payment_intents.list({}).data
    refund = stripe_api.refunds.create({"payment_intent": payment.id, "amount": purchase.amount // 2})
    received = events(
        "payment_intent.succeeded", "checkout.session.completed", "refund.created", "charge.refunded"
    )
    failed = {**stripe_gateway.to_plain(refund), "status": "failed", "failure_reason": "lost_or_stolen_card"}
    received.append({**received[-1], "id": "evt_failed", "type": "refund.failed", "data": {"object": failed}})
    assert len(received) == 5

    def state() -> Any:
        balance = ledger.balance(account.pk, timezone.now())
        refunds = [(refund.status, refund.amount) for refund in Purchase.objects.get().refunds.all()]
        receipts = Mail.objects.filter(template="receipt").count()
        return [purchases_of(account), str(balance.total), str(balance.debt), refunds, receipts]

    [outcome] = every_order(received, state)

    [[bought], _total, debt, refunds, receipts] = json.loads(outcome)
    assert (bought["status"], bought["refunded"], debt, receipts) == ("paid", 0, "0.000000", 1)
    assert refunds == [["failed", purchase.amount // 2]]


@pytest.mark.fault("P6", "P4")
def test_the_five_events_of_a_new_subscription(
    stripe_api: Any,
    account: Account,
    alice: User,
    events: Callable[..., Any],
    every_order: Callable[..., set[Any]],
) -> None:
    purchase = create.plan_purchase(
        account=account,
        buyer=alice,
        origin="page",
        plan_key="starter",
        interval="month",
        currency="usd",
        confirm=False,
        key="plan",
        now=timezone.now(),
    )
    Buyer().pay(checkout.open_page(purchase, timezone.now()))
    by_type = {event["type"]: event for event in events() if handlers.handler_of(event["type"])}
    created = by_type["customer.subscription.created"]
    updated = {**created, "id": "evt_updated", "type": "customer.subscription.updated"}
    types = ("checkout.session.completed", "invoice.paid", "payment_intent.succeeded")
    received = [created, updated, *(by_type[type] for type in types)]

    def state() -> Any:
        subscription = Subscription.objects.get(account=account)
        grants = Grant.objects.filter(account_id=account.pk).order_by("kind", "label")
        return [
            [
                subscription.plan,
                subscription.state,
                subscription.paid_until,
                subscription.stripe_subscription_id,
            ],
            purchases_of(account),
            [(grant.kind, grant.label, grant.remaining) for grant in grants],
            Mail.objects.filter(template="receipt").count(),
        ]

    [outcome] = every_order(received, state)

    [[plan, state_of_plan, *_], [bought], _grants, receipts] = json.loads(outcome)
    assert (plan, state_of_plan, bought["status"], receipts) == ("starter", "active", "paid", 1)


@pytest.mark.fault("P6")
def test_a_response_older_than_the_stored_subscription_is_requested_again(
    account: Account, stripe_api: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    price = prices.ensure_price(plan_key="starter", interval="month", currency="usd", amount=990)
    customer = customers.ensure_customer(account)
    card = stripe_api.payment_methods.attach("pm_card_visa", {"customer": customer})
    subscription_id = stripe_api.subscriptions.create(
        {
            "customer": customer,
            "items": [{"price": price}],
            "default_payment_method": card.id,
            "metadata": {"account": account.public_id},
        }
    ).id
    stripe_sync.synchronize(subscription_id, timezone.now())
    retrieve = stripe_gateway.retrieve_subscription
    statuses: list[str] = []

    def retrieve_slowly(subscription_id: str) -> Any:
        """Before the first response arrives, the plan is cancelled and the cancellation is applied."""
        response = retrieve(subscription_id)
        statuses.append(response["status"])
        if len(statuses) == 1:
            stripe_api.subscriptions.cancel(subscription_id)
            stripe_sync.apply_snapshot(retrieve(subscription_id), timezone.now())
        return response

    monkeypatch.setattr(stripe_gateway, "retrieve_subscription", retrieve_slowly)
    event = {"id": "evt_1", "type": "customer.subscription.updated", "created": 1}
    stored = stripe_events.store(
        {**event, "data": {"object": {"id": subscription_id}}}, timezone.now(), source="webhook"
    )

    assert stripe_events.process(stored.pk, timezone.now()).state == "done"

    assert statuses == ["active", "canceled"]
    subscription = Subscription.objects.get(account=account)
    assert (subscription.plan, subscription.stripe_subscription_id) == ("free-trial", None)
    with pytest.raises(stripe_sync.StaleSnapshot):
        stripe_sync.apply_snapshot(
            retrieve(subscription_id), timezone.now() + timedelta(seconds=1), version=subscription.version
        )
