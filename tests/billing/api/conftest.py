"""Every response is validated against the OpenAPI document."""

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
import time_machine
from django.utils import timezone

from accounts.models import Account, User
from billing.models import Purchase, Subscription
from billing.purchases import checkout
from tests import openapi
from tests.sandbox.conftest import Buyer

NOON = "2026-11-20T12:00:00Z"


@pytest.fixture(autouse=True)
def every_response_matches_the_document() -> Iterator[None]:
    with openapi.every_answer_agrees():
        yield


@pytest.fixture
def api(clock: time_machine.Traveller, stripe_api: Any, alice: User, api_of: Callable[..., Any]) -> Any:
    return api_of(alice)


@pytest.fixture
def purchase(account: Account) -> Callable[..., Purchase]:
    """A purchase of two packs in yen: `purchase("created")`."""

    def make(status: str = "paid", **fields: Any) -> Purchase:
        now = timezone.now()
        values: dict[str, Any] = {"kind": "pack", "origin": "api", "offer": "small", "label": "2 × Small"}
        values |= {"quantity": 2, "credits": Decimal(200), "amount": 900, "list_amount": 1000}
        values |= {"currency": "jpy", "tax": 80, "tax_behavior": "inclusive", "payment_method": "card"}
        values |= {
            "receipt_url": "https://r",
            "checkout_url": "https://c",
            "error": "Why.",
            "created_at": now,
        }
        values |= {"invoice_number": None, "status": status}
        values |= {"paid_at": now if status == "paid" else None, "stripe_payment_id": None}
        values |= {"idempotency_key": f"key-{Purchase.objects.count()}"}
        return Purchase.objects.create(account=account, **values | fields)

    return make


@pytest.fixture
def starter(api: Any) -> Subscription:
    """Alice's paid plan."""
    made = api.post("checkouts", {"plan": "starter", "currency": "usd"}, key="k").json()
    Buyer().pay(made["url"])
    checkout.refresh_from_stripe(Purchase.objects.get(), timezone.now())
    return Subscription.objects.get()
