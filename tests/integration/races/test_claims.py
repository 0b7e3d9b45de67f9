"""Disputes and refunds of one payment at the same time, with real threads and commits."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from accounts.models import Account
from billing import ledger
from billing.models import Dispute, Purchase, Refund, StripeEvent, Subscription
from billing.purchases import checkout, create
from billing.refunds import requests
from billing.webhooks import events as stripe_events
from billing.webhooks import reconciliation
from tests.billing import stripe_sandbox
from tests.billing.conftest import change_policies, smallest_pack
from tests.billing.ledger.state import broken
from tests.conftest import person
from tests.integration.races.test_payments import at_once
from tests.sandbox.conftest import Buyer

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def account(transactional_db: None, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Account:
    stripe_sandbox.connect(settings, monkeypatch)
    call_command("load_catalogue", verbosity=0)
    return Account.objects.get(person=person("alice"))


def buy(account: Account, kind: str) -> Purchase:
    common: dict[str, Any] = {
        "account": account,
        "buyer": account.person,
        "origin": "page",
        "currency": "usd",
    }
    common |= {"key": "purchase", "now": timezone.now()}
    if kind == "pack":
        purchase = create.pack_purchase(pack_key=smallest_pack(), quantity=1, **common)
    else:
        purchase = create.plan_purchase(plan_key="starter", interval="month", confirm=False, **common)
    Buyer().pay(checkout.open_page(purchase, timezone.now()))
    checkout.refresh_from_stripe(purchase, timezone.now())
    process_events()
    purchase.refresh_from_db()
    return purchase


def new_events() -> list[dict[str, Any]]:
    known = set(StripeEvent.objects.values_list("stripe_id", flat=True))
    found = stripe_sandbox.api().events.list({"limit": 100}).data
    return [stripe_sandbox.plain(event) for event in reversed(found) if event.id not in known]


def process(event: dict[str, Any]) -> str:
    stored = stripe_events.store(event, timezone.now(), source="webhook")
    return str(stripe_events.process(stored.pk, timezone.now()).state)


def process_events() -> None:
    for event in new_events():
        process(event)


def act(purchase: Purchase, *actions: str) -> None:
    api = stripe_sandbox.api()
    for action in actions:
        about = {"payment_intent": purchase.stripe_payment_id}
        disputes = api.disputes.list(about).data
        charge = api.payment_intents.retrieve(purchase.stripe_payment_id).latest_charge
        target = charge if action.startswith("dispute") else disputes[0].id
        Client().post(f"/sandbox/objects/{target}/act", {"action": action})


@pytest.mark.fault("P12", "P14", "P25", "P28")
@pytest.mark.parametrize("kind", ["pack", "plan"])
def test_all_events_of_a_refund_and_a_changing_dispute_at_once_take_the_credits_once(
    account: Account, kind: str
) -> None:
    purchase = buy(account, kind)
    before = ledger.balance(account.pk, timezone.now()).total
    half = {"payment_intent": purchase.stripe_payment_id, "amount": purchase.amount // 2}
    stripe_sandbox.api().refunds.create(half)
    act(purchase, "dispute", "win", "reverse")
    received = new_events()

    def deliver(number: int) -> str:
        return process(received[number % len(received)])

    at_once(len(received) * 2, deliver)
    reconciliation.run(timezone.now())
    stripe_events.process_waiting(timezone.now() + timedelta(hours=1))

    assert not StripeEvent.objects.filter(state__in=["failed", "quarantined", "received"]).exists()
    assert (Refund.objects.get().status, Dispute.objects.get().status) == ("done", "lost")
    taken = sum(claim.credits for claim in [*Refund.objects.all(), *Dispute.objects.all()])
    balance = ledger.balance(account.pk, timezone.now())
    assert balance.debt == 0
    if kind == "pack":
        assert (taken, before - balance.total) == (purchase.credits, purchase.credits)
    else:
        assert not any(grant.kind == "plan" for grant in balance.grants)
        assert Subscription.objects.get(account=account).plan == "free-trial"
    assert broken([account.pk]) == []


@pytest.mark.fault("P14")
def test_staff_approve_a_refund_while_the_buyer_withdraws_it_and_the_bank_disputes(account: Account) -> None:
    change_policies(refund_window_days=30)
    purchase = buy(account, "pack")
    before = ledger.balance(account.pk, timezone.now()).total
    refund = requests.create(purchase=purchase, user=None, message="", now=timezone.now())
    act(purchase, "dispute")
    received = new_events()

    def approve() -> str:
        return requests.approve(refund, actor="staff", reason="", now=timezone.now()).status

    calls: list[Callable[[], Any]] = [
        approve,
        lambda: requests.withdraw(purchase, timezone.now()).status,
        *(lambda event=event: process(event) for event in received),
    ]
    at_once(len(calls), lambda number: calls[number]())
    stripe_events.process_waiting(timezone.now() + timedelta(hours=1))
    reconciliation.run(timezone.now())

    assert Refund.objects.get().status in {"failed", "withdrawn", "requested"}, (
        "a disputed charge is not refunded"
    )
    after = ledger.balance(account.pk, timezone.now())
    assert (before - after.total, after.debt) == (purchase.credits, 0)
    assert broken([account.pk]) == []
