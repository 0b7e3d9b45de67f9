"""A plan paid by card, and cards that are saved on Stripe's page."""

import random
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Account, User
from billing.models import StripeEvent, Subscription
from billing.payments import cards
from billing.purchases import checkout, create
from tests.sandbox.conftest import Buyer

MASTERCARD = "5555 5555 5555 4444"


@pytest.fixture
def plan(
    stripe_api: Any,
    account: Account,
    alice: User,
    events: Callable[..., Any],
    process_event: Callable[..., StripeEvent],
) -> Subscription:
    """Alice's plan, paid on Stripe's page with a Visa card, its events processed."""
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
    for event in events():
        process_event(event)
    return Subscription.objects.get(account=account)


@pytest.fixture
def process_new_events(
    events: Callable[..., Any], process_event: Callable[..., StripeEvent]
) -> Callable[..., None]:
    """Process Stripe's events that were not processed, in this order or shuffled."""

    def process(*, shuffled: bool = False) -> None:
        known = set(StripeEvent.objects.values_list("stripe_id", flat=True))
        found = [event for event in events() if event["id"] not in known]
        if shuffled:
            random.Random(1).shuffle(found)
        for event in found:
            assert process_event(event).state in {"done", "ignored"}

    return process


def complete_setup_page(account: Account, number: str = MASTERCARD) -> str:
    """Save a card on Stripe's page; the id of the session."""
    buyer = Buyer()
    buyer.pay(cards.setup_page_url(account, key=uuid.uuid4().hex), number)
    return buyer.redirect.rpartition("session=")[2]


def save(account: Account, number: str = MASTERCARD) -> bool:
    return cards.save_card_from_session(account, complete_setup_page(account, number), timezone.now())
