"""A process killed at each commit while it handles the dispute of a plan's payment."""

from collections.abc import Callable
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from accounts.models import Account
from billing import ledger
from billing.models import Correction, Mail, Purchase, StripeEvent, Subscription, WithdrawnPlanPayment
from billing.purchases import checkout, create
from billing.webhooks import events
from tests.billing import stripe_sandbox
from tests.billing.ledger.state import broken
from tests.conftest import person
from tests.integration.crashes.process import every_boundary
from tests.integration.crashes.test_payments import OtherMachine, run_scheduled_jobs
from tests.sandbox.conftest import Buyer

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def stripe_and_catalogue(transactional_db: None, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    stripe_sandbox.connect(settings, monkeypatch, OtherMachine)
    call_command("load_catalogue", verbosity=0)


def disputed_plan(account: Account) -> list[dict[str, Any]]:
    """A plan in force whose payment was disputed; the dispute's events, oldest first."""
    purchase = create.plan_purchase(
        account=account,
        buyer=account.person,
        origin="page",
        plan_key="starter",
        interval="month",
        currency="usd",
        confirm=False,
        key="plan",
        now=timezone.now(),
    )
    Buyer().pay(checkout.open_page(purchase, timezone.now()))
    checkout.refresh_from_stripe(purchase, timezone.now())
    api = stripe_sandbox.api()
    process_all()
    payment = Purchase.objects.get(pk=purchase.pk).stripe_payment_id
    charge = api.payment_intents.retrieve(payment).latest_charge
    Client().post(f"/sandbox/objects/{charge}/act", {"action": "dispute"})
    found = map(stripe_sandbox.plain, reversed(api.events.list({"limit": 100}).data))
    return [event for event in found if event["data"]["object"].get("charge") == charge]


def process_all() -> None:
    for event in reversed(stripe_sandbox.api().events.list({"limit": 100}).data):
        stored = events.store(stripe_sandbox.plain(event), timezone.now(), source="webhook")
        events.process(stored.pk, timezone.now())


@pytest.mark.usefixtures("noon")
@pytest.mark.fault("P3", "P25")
def test_a_disputed_plan_killed_at_any_commit_is_taken_back_and_cancelled_once() -> None:
    def operation(_: Account, received: list[dict[str, Any]]) -> None:
        for event in received:
            stored = events.store(event, timezone.now(), source="webhook")
            events.process(stored.pk, timezone.now())

    def scenario(boundary: int) -> tuple[Callable[[], Any], Callable[[], None]]:
        account = Account.objects.get(person=person(f"disputed{boundary}"))
        received = disputed_plan(account)

        def check() -> None:
            assert broken([account.pk]) == []
            run_scheduled_jobs(account, None)
            assert broken([account.pk]) == []
            assert_taken_back_once(account)
            stripe_sandbox.forget_applied_objects()

        return lambda: operation(account, received), check

    assert every_boundary(scenario) >= 4


def assert_taken_back_once(account: Account) -> None:
    balance = ledger.balance(account.pk, timezone.now())
    assert (balance.debt, [grant for grant in balance.grants if grant.kind == "plan"]) == (0, [])
    assert Correction.objects.filter(account_id=account.pk, kind="claw_back").count() == 1
    assert Mail.objects.filter(account_id=account.pk, template="disputed").count() == 1
    assert Subscription.objects.get(account=account).plan == "free-trial"
    purchase = Purchase.objects.get(account=account)
    assert not WithdrawnPlanPayment.objects.get(pk=purchase.pk).due
    at_stripe = stripe_sandbox.api().subscriptions.retrieve(purchase.stripe_subscription_id)
    assert at_stripe.status == "canceled"
    assert not StripeEvent.objects.exclude(state__in=["done", "ignored"]).exists()
