"""POST /subscription/change with `preview`: what a change would cost and do."""

from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import User
from billing.models import Purchase, Subscription
from billing.purchases import checkout
from tests import openapi
from tests.sandbox.conftest import Buyer

pytestmark = pytest.mark.django_db


@pytest.fixture
def api(stripe_api: Any, alice: User, api_of: Callable[..., Any]) -> Any:
    return api_of(alice)


def preview(api: Any, plan: str) -> dict[str, Any]:
    response = api.post("subscription/change", {"plan": plan, "currency": "usd", "preview": True}, key="p")
    assert response.status_code == 200, response.content
    body: dict[str, Any] = response.json()
    return body


def test_the_preview_of_a_first_paid_plan_has_its_price_and_creates_no_purchase(api: Any) -> None:
    shown = preview(api, "starter")

    assert (shown["kind"], shown["plan"]) == ("subscribe", "starter")
    assert shown["due_now"] == shown["amount"] > 0
    assert not Purchase.objects.exists()


def test_the_preview_of_an_upgrade_has_the_amount_due_and_the_credits_granted_at_once(api: Any) -> None:
    made = api.post("checkouts", {"plan": "starter", "currency": "usd"}, key="k").json()
    Buyer().pay(made["url"])
    checkout.refresh_from_stripe(Purchase.objects.get(), timezone.now())

    shown = preview(api, "creator")

    assert shown["kind"] == "upgrade"
    assert shown["due_now"] > 0
    assert shown["arrivals"] and set(shown["arrivals"][0]) == {"label", "credits"}
    assert {grant["fate"] for grant in shown["grants"]} <= {"stays", "carried", "lost"}
    assert Subscription.objects.get().plan == "starter"


def test_the_document_declares_the_preview_beside_the_subscription() -> None:
    schemas = openapi.document()["components"]["schemas"]
    assert [option["$ref"].rpartition("/")[2] for option in schemas["SubscriptionChange"]["oneOf"]] == [
        "SubscriptionAnswer",
        "ChangePreview",
    ]
    assert "arrivals" in schemas["ChangePreview"]["required"]
