"""The bank, in the sandbox: disputes of a purchase's payment and what becomes of them."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from billing.models import Purchase, StripeEvent


@pytest.fixture
def bank(stripe_api: Any, client: Client) -> Callable[..., Any]:
    """Perform actions on a payment's newest dispute: `bank(purchase, "dispute", "win")`. Returns it.

    The actions that open a dispute are dispute, dispute_part, inquire, block and resolve.
    """
    opening = {"dispute", "dispute_part", "inquire", "block", "resolve"}

    def act(purchase: Purchase, *actions: str) -> Any:
        purchase.refresh_from_db()
        about = {"payment_intent": purchase.stripe_payment_id}
        for action in actions:
            charge = stripe_api.payment_intents.retrieve(purchase.stripe_payment_id).latest_charge
            target = charge if action in opening else stripe_api.disputes.list(about).data[0].id
            response = client.post(f"/sandbox/objects/{target}/act", {"action": action})
            assert "notice" not in response.headers["Location"], response.headers["Location"]
        return stripe_api.disputes.list(about).data[0]

    return act


@pytest.fixture
def deliver(
    events: Callable[..., list[dict[str, Any]]], process_event: Callable[..., StripeEvent]
) -> Callable[[], None]:
    """Process all events of Stripe that were not processed before."""
    delivered: set[str] = set()

    def process() -> None:
        for event in events():
            if event["id"] not in delivered:
                delivered.add(event["id"])
                stored = process_event(event)
                assert stored.state in {"done", "ignored"}, stored.error

    return process
