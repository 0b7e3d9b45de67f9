"""A process killed at each commit of hearing, topping up, reconciling: what runs next ends the same."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Account
from billing import stripe_gateway
from billing.models import AutoTopUp, Purchase, StripeEvent
from billing.payments import cards
from billing.purchases import auto_top_up, checkout, create
from billing.webhooks import events, reconciliation
from tests.billing.conftest import smallest_pack
from tests.billing.ledger.state import broken
from tests.integration.crashes.process import every_boundary
from tests.integration.crashes.test_purchases import account_of, outcome, world
from tests.sandbox.conftest import Buyer

__all__ = ["world"]
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("noon")]


def paid_at_stripe(account: Account) -> Purchase:
    """An order that is paid at Stripe and of which nothing has been heard."""
    purchase = create.pack_purchase(
        account=account,
        buyer=account.person,
        origin="page",
        pack_key=smallest_pack(),
        quantity=1,
        currency="usd",
        key="order",
        now=timezone.now(),
    )
    checkout.open_page(purchase, timezone.now())
    Buyer().pay(purchase.checkout_url)
    return purchase


def news_of(purchase: Purchase) -> list[dict[str, Any]]:
    """What Stripe has to tell of it, oldest first."""
    told = stripe_gateway._client("", "").v1.events.list({"limit": 100}).data
    marked = [stripe_gateway.to_plain(one) for one in reversed(told)]
    return [
        event
        for event in marked
        if (event["data"]["object"].get("metadata") or {}).get("purchase") == purchase.public_id
        and event["type"] in {"checkout.session.completed", "payment_intent.succeeded"}
    ]


def what_runs_next(account: Account) -> None:
    """Beat, when the dead process is missed: waiting events, reconciliation, automatic top-ups."""
    now = timezone.now() + timedelta(minutes=2)
    events.process_waiting(now)
    reconciliation.run(now)
    auto_top_up.buy_if_low(account.pk, now)


def ends_alike(
    name: str, prepare: Callable[[Account], Any], act: Callable[[Account, Any], Any], most: int
) -> None:
    """Kill `act` at each commit; with what runs next, all is as if nobody had been killed."""
    undisturbed = account_of(name)
    act(undisturbed, prepare(undisturbed))
    what_runs_next(undisturbed)
    expected = outcome(undisturbed)
    assert expected["payments at Stripe"] == 1
    assert expected["purchases"][0][0] == Purchase.Status.PAID

    def scene(boundary: int) -> tuple[Callable[[], Any], Callable[[], None]]:
        account = account_of(f"{name}{boundary}")
        thing = prepare(account)

        def check() -> None:
            assert broken([account.pk]) == []
            what_runs_next(account)
            assert outcome(account) == expected, f"killed after commit {boundary}"
            assert not StripeEvent.objects.exclude(state__in=["done", "ignored"]).exists()

        return lambda: act(account, thing), check

    assert every_boundary(scene) >= most


@pytest.mark.fault("P3", "P7", "C2")
def test_hearing_of_a_payment_killed_at_any_commit_credits_once() -> None:
    def hear(_account: Account, news: list[dict[str, Any]]) -> None:
        for event in news:
            row = events.store(event, timezone.now(), source="webhook")
            events.process(row.pk, timezone.now())

    ends_alike("hearer", lambda account: news_of(paid_at_stripe(account)), hear, 4)


@pytest.mark.fault("P16", "P17")
def test_an_automatic_top_up_killed_at_any_commit_is_one_payment() -> None:
    def wish(account: Account) -> None:
        customer = cards.ensure_customer(account)
        method = stripe_gateway._client("", "").v1.payment_methods.attach(
            "pm_card_visa", {"customer": customer}
        )
        cards.save_card(account.pk, stripe_gateway.to_plain(method))
        AutoTopUp.objects.create(
            account=account,
            enabled=True,
            below=Decimal(200),
            pack=smallest_pack(),
            currency="usd",
            monthly_amount=10**6,
            monthly_count=5,
        )

    ends_alike("runner", wish, lambda account, _: auto_top_up.buy_if_low(account.pk, timezone.now()), 4)
