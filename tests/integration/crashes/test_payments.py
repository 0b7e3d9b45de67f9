"""A process killed at each commit of buying, refunding, event handling and automatic top-up.

Repeating the operation, or the scheduled jobs that run next, reach the same state as without the kill.
"""

import re
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core.management import call_command
from django.utils import timezone

from accounts.models import Account
from billing.models import AutoTopUp, Mail, Purchase, Refund, StripeEvent
from billing.purchases import auto_top_up, checkout, create
from billing.refunds import requests
from billing.webhooks import events, reconciliation
from tests.billing import stripe_sandbox
from tests.billing.conftest import smallest_pack
from tests.billing.ledger.state import broken, state_of
from tests.conftest import person
from tests.integration.crashes.process import elsewhere, every_boundary
from tests.sandbox.conftest import Buyer, InProcess

pytestmark = pytest.mark.django_db(transaction=True)
IDS = re.compile(r"[0-9a-f]{32}")


class OtherMachine(InProcess):
    """Stripe runs on another machine, which is not killed."""

    def request(self, *arguments: Any, **options: Any) -> Any:
        with elsewhere():
            return super().request(*arguments, **options)


@pytest.fixture(autouse=True)
def stripe_and_catalogue(transactional_db: None, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    stripe_sandbox.connect(settings, monkeypatch, OtherMachine)
    call_command("load_catalogue", verbosity=0)


def account_of(name: str) -> Account:
    return Account.objects.get(person=person(name))


def open_purchase(account: Account) -> Purchase:
    """A purchase with its payment page; repeated calls return the same one."""
    purchase = create.pack_purchase(
        account=account,
        buyer=account.person,
        origin="page",
        pack_key=smallest_pack(),
        quantity=1,
        currency="usd",
        key="purchase",
        now=timezone.now(),
    )
    checkout.open_page(purchase, timezone.now())
    purchase.refresh_from_db()
    return purchase


def buy(account: Account) -> Purchase:
    """A buyer's steps, repeated after an error: create the purchase, pay unless paid, return from Stripe."""
    purchase = open_purchase(account)
    if not is_paid_at_stripe(purchase):
        with elsewhere():
            Buyer().pay(purchase.checkout_url)
    return checkout.refresh_from_stripe(purchase, timezone.now())


def is_paid_at_stripe(purchase: Purchase) -> bool:
    session = stripe_sandbox.api().checkout.sessions.retrieve(purchase.stripe_session_id)
    return str(session.payment_status) == "paid"


def refund(purchase: Purchase) -> None:
    """Request, approve and send a refund, continuing with an existing one."""
    now = timezone.now()
    request = Refund.objects.filter(purchase=purchase).first()
    if request is None:
        request = requests.create(purchase=purchase, user=None, message="not needed", now=now)
    if request.status == Refund.Status.REQUESTED:
        requests.approve(request, actor="staff", reason="", now=now)
    requests.send_approved(now)


def outcome(account: Account) -> dict[str, Any]:
    """The state of an account, here and at Stripe, without ids and times."""
    assert broken([account.pk]) == []
    stripe_api = stripe_sandbox.api()
    payments = [
        intent.id
        for intent in stripe_api.payment_intents.list({"limit": 100}).data
        if intent.metadata.to_dict().get("account") == account.public_id
    ]
    refunds = [
        (refund.status, refund.amount)
        for refund in stripe_api.refunds.list({"limit": 100}).data
        if refund.payment_intent in payments
    ]
    fields = ("status", "credits", "amount", "refunded", "payment_method")
    return {
        "ledger": IDS.sub("…", str(state_of([account.pk], times=False))),
        "purchases": list(Purchase.objects.filter(account=account).values_list(*fields)),
        "without number": Purchase.objects.filter(account=account, invoice_number=None).count(),
        "refunds": list(Refund.objects.filter(account=account).values_list("status", "amount", "credits")),
        "emails": Counter(Mail.objects.filter(account_id=account.pk).values_list("template", flat=True)),
        "payments at Stripe": len(payments),
        "refunds at Stripe": refunds,
    }


def check_every_kill(
    name: str,
    prepare: Callable[[Account], Any],
    operation: Callable[[Account, Any], Any],
    complete: Callable[[Account, Any], Any],
    *,
    at_least: int,
) -> dict[str, Any]:
    """Kill `operation` after each of its commits; `complete` then reaches the state without a kill.

    Returns that state. `at_least` is the number of commits that the operation has at least.
    """
    uninterrupted = account_of(name)
    prepared = prepare(uninterrupted)
    operation(uninterrupted, prepared)
    complete(uninterrupted, prepared)
    expected = outcome(uninterrupted)

    def scenario(boundary: int) -> tuple[Callable[[], Any], Callable[[], None]]:
        account = account_of(f"{name}{boundary}")
        prepared = prepare(account)

        def check() -> None:
            assert broken([account.pk]) == []
            complete(account, prepared)
            assert outcome(account) == expected, f"killed after commit {boundary}"
            assert not StripeEvent.objects.exclude(state__in=["done", "ignored"]).exists()
            stripe_sandbox.forget_applied_objects()

        return lambda: operation(account, prepared), check

    assert every_boundary(scenario) >= at_least
    return expected


def assert_paid_once(state: dict[str, Any]) -> None:
    assert state["payments at Stripe"] == 1
    assert state["purchases"][0][0] == Purchase.Status.PAID


@pytest.mark.fault("L9", "P3", "P17")
def test_buying_killed_at_any_commit_and_repeated_is_one_payment_and_one_grant() -> None:
    def operation(account: Account, _: None) -> None:
        buy(account)

    state = check_every_kill("buyer", lambda _: None, operation, operation, at_least=6)
    assert_paid_once(state)


@pytest.mark.fault("L9", "P17", "P20")
def test_a_refund_killed_at_any_commit_and_repeated_is_refunded_once() -> None:
    def operation(_: Account, purchase: Purchase) -> None:
        refund(purchase)

    state = check_every_kill("refunded", buy, operation, operation, at_least=4)
    assert len(state["refunds at Stripe"]) == 1


def run_scheduled_jobs(account: Account, _: Any) -> None:
    """What beat runs after the process died: waiting events, reconciliation, automatic top-ups."""
    now = timezone.now() + timedelta(minutes=2)
    events.process_waiting(now)
    reconciliation.run(now)
    auto_top_up.buy_if_low(account.pk, now)


def events_of_paid_purchase(account: Account) -> list[dict[str, Any]]:
    """The events of a purchase that is paid at Stripe and not here, oldest first."""
    purchase = open_purchase(account)
    Buyer().pay(purchase.checkout_url)
    stripe_events = stripe_sandbox.api().events.list({"limit": 100}).data
    return [
        event
        for event in map(stripe_sandbox.plain, reversed(stripe_events))
        if (event["data"]["object"].get("metadata") or {}).get("purchase") == purchase.public_id
        and event["type"] in {"checkout.session.completed", "payment_intent.succeeded"}
    ]


@pytest.mark.usefixtures("noon")
@pytest.mark.fault("P3", "P7", "C2")
def test_handling_the_events_of_a_payment_killed_at_any_commit_credits_once() -> None:
    def operation(_: Account, received: list[dict[str, Any]]) -> None:
        for event in received:
            stored = events.store(event, timezone.now(), source="webhook")
            events.process(stored.pk, timezone.now())

    state = check_every_kill("webhook", events_of_paid_purchase, operation, run_scheduled_jobs, at_least=4)
    assert_paid_once(state)


@pytest.mark.usefixtures("noon")
@pytest.mark.fault("P16", "P17")
def test_an_automatic_top_up_killed_at_any_commit_is_one_payment() -> None:
    def prepare(account: Account) -> None:
        stripe_sandbox.save_card(account)
        AutoTopUp.objects.create(
            account=account,
            enabled=True,
            below=Decimal(200),
            pack=smallest_pack(),
            currency="usd",
            monthly_amount=10**6,
            monthly_count=5,
        )

    def operation(account: Account, _: None) -> None:
        auto_top_up.buy_if_low(account.pk, timezone.now())

    state = check_every_kill("top-up", prepare, operation, run_scheduled_jobs, at_least=4)
    assert_paid_once(state)
