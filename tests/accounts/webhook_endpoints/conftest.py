"""Fixtures: endpoints, facts, and a sender that answers what a test says."""

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from django.db import transaction

from accounts.models import Account, User, WebhookDelivery, WebhookEndpoint, WebhookEvent
from accounts.webhook_endpoints import deliveries, endpoints, events
from accounts.webhook_endpoints.exchange import Answer

NOON = dt.datetime(2026, 3, 10, 12, 0, tzinfo=dt.UTC)
MINUTE = dt.timedelta(minutes=1)
DAY = dt.timedelta(days=1)
OK, FAILS, GONE = Answer(status=204), Answer(status=500, seconds=0.1), Answer(status=410)


@pytest.fixture
def account(alice: User) -> Account:
    return Account.objects.get(person=alice)


def new_endpoint(
    account: Account | None, url: str = "https://hooks.example.com/", **terms: Any
) -> WebhookEndpoint:
    values: dict[str, Any] = {"events": WebhookEvent.Type.values, "description": "", "now": NOON} | terms
    return endpoints.create(account=account, url=url, **values).endpoint


def happen(account: Account, fact: str, type: str = "purchase.paid", now: dt.datetime = NOON) -> None:
    """Record a fact, in a transaction of its own."""
    with transaction.atomic():
        events.record(
            account_id=account.pk, type=WebhookEvent.Type(type), fact=fact, data={"fact": fact}, now=now
        )


def fact_of(claimed: deliveries.Claimed) -> str:
    event = WebhookDelivery.objects.select_related("event").get(pk=claimed.delivery_id).event
    return event.fact


def send_all(now: dt.datetime, answer: Answer | Callable[[str], Answer] = OK) -> list[str]:
    """Send what is due now; returns the facts in the order of sending."""
    deliveries.fan_out(now)
    sent = []
    while claimed := deliveries.claim(now):
        sent.append(fact_of(claimed))
        deliveries.finish(claimed, answer if isinstance(answer, Answer) else answer(sent[-1]), now)
    return sent
