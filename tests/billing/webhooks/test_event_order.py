"""Events in every order: all permutations of five, with repetitions, end in the same state."""

import itertools
import json
from collections.abc import Callable
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

from accounts.models import Account, User
from billing import ledger, stripe_gateway
from billing.models import Grant, Mail, Purchase, Subscription
from billing.purchases import checkout, create
from billing.webhooks import events as stripe_events
from billing.webhooks import handlers
from tests.billing.ledger.state import broken
from tests.sandbox.conftest import Buyer

pytestmark = pytest.mark.django_db


@pytest.fixture
def every_order(account: Account, monkeypatch: pytest.MonkeyPatch) -> Callable[..., set[Any]]:
    """Let events arrive in every order, some twice, each time from the present state; all final states."""
    answers: dict[str, Any] = {}

    def remembered(question: Callable[[Any], Any]) -> Any:
        """What Stripe says stands still meanwhile, so each question is put to it once."""
        said = (
            repr([cell.cell_contents for cell in question.__closure__ or ()])
            + question.__code__.co_code.hex()
        )
        if said not in answers:
            answers[said] = question(stripe_gateway._client("", "").v1)
        return answers[said]

    def all_of(told: list[dict[str, Any]], state: Callable[[], Any]) -> set[Any]:
        monkeypatch.setattr(stripe_gateway, "_request", remembered)
        outcomes = set()
        for turn, order in enumerate(itertools.permutations(told)):
            repeated = order[turn % len(order)]
            with transaction.atomic():
                for event in [*order[:3], repeated, *order[3:]]:
                    row = stripe_events.store(event, timezone.now(), source="webhook")
                    row = stripe_events.process(row.pk, timezone.now())
                    assert row.state in {"done", "ignored"}, row.trouble
                assert turn % 12 or broken([account.pk]) == []
                outcomes.add(json.dumps(state(), default=str))
                transaction.set_rollback(True)
        return outcomes

    return all_of


def purchases_as_they_are(account: Account) -> list[Any]:
    return list(
        Purchase.objects.filter(account=account)
        .order_by("created_at")
        .values("status", "refunded", "amount", "stripe_payment_id", "invoice_number")
    )


@pytest.mark.fault("P6", "P12", "P20")
def test_the_five_events_of_a_pack_that_was_bought_and_whose_refund_failed(
    order: Callable[..., Purchase],
    pay: Callable[..., Any],
    stripe_world: Any,
    events: Callable[..., Any],
    every_order: Callable[..., set[Any]],
    account: Account,
) -> None:
    purchase = order()
    pay(purchase, "4000 0000 0000 5126")  # pays, and its refunds fail
    [payment] = stripe_world.payment_intents.list({}).data
    refund = stripe_world.refunds.create({"payment_intent": payment.id, "amount": purchase.amount // 2})
    told = events(
        "payment_intent.succeeded", "checkout.session.completed", "refund.created", "charge.refunded"
    )
    failed = {**stripe_gateway.to_plain(refund), "status": "failed", "failure_reason": "lost_or_stolen_card"}
    told.append({**told[-1], "id": "evt_failed", "type": "refund.failed", "data": {"object": failed}})
    assert len(told) == 5

    def state() -> Any:
        balance = ledger.balance(account.pk, timezone.now())
        kept = [(one.status, one.amount) for one in Purchase.objects.get().refunds.all()]
        mails = Mail.objects.filter(template="receipt").count()
        return [purchases_as_they_are(account), str(balance.total), str(balance.debt), kept, mails]

    [outcome] = every_order(told, state)

    [[row], _total, debt, refunds, mails] = json.loads(outcome)
    assert (row["status"], row["refunded"], debt, mails) == ("paid", 0, "0.000000", 1)
    assert refunds == [["failed", purchase.amount // 2]]


@pytest.mark.fault("P6", "P4")
def test_the_five_events_of_a_new_subscription(
    stripe_world: Any,
    account: Account,
    alice: User,
    events: Callable[..., Any],
    every_order: Callable[..., set[Any]],
) -> None:
    order = create.plan_purchase(
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
    Buyer().pay(checkout.open_page(order, timezone.now()))
    found = {event["type"]: event for event in events() if handlers.handler_of(event["type"])}
    created = found["customer.subscription.created"]
    updated = {**created, "id": "evt_updated", "type": "customer.subscription.updated"}
    kinds = ("checkout.session.completed", "invoice.paid", "payment_intent.succeeded")
    told = [created, updated, *(found[kind] for kind in kinds)]

    def state() -> Any:
        row = Subscription.objects.get(account=account)
        grants = Grant.objects.filter(account_id=account.pk).order_by("kind", "label")
        return [
            [row.plan, row.state, row.paid_until, row.stripe_subscription_id],
            purchases_as_they_are(account),
            [(grant.kind, grant.label, grant.remaining) for grant in grants],
            Mail.objects.filter(template="receipt").count(),
        ]

    [outcome] = every_order(told, state)

    [[plan, status, *_], [row], _grants, mails] = json.loads(outcome)
    assert (plan, status, row["status"], mails) == ("starter", "active", "paid", 1)
