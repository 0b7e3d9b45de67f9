"""POST /subscription/change with `preview`: what a change would cost and do."""

from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import User
from billing import stripe_gateway
from billing.models import Purchase, Subscription
from billing.purchases import checkout
from billing.subscriptions import changes
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


def test_the_preview_says_how_the_amount_of_another_interval_comes_about(
    api: Any, starter: Subscription
) -> None:
    body = {"plan": "starter", "interval": "year", "currency": "usd", "preview": True}
    shown = api.post("subscription/change", body, key="p").json()

    charge = shown["charge"]
    assert shown["due_now"] == charge["price"] - charge["unused"] == 9900 - 990
    assert (charge["credit_used"], charge["credit_added"], charge["added_to_next_invoice"]) == (0, 0, 0)


def test_a_change_that_waits_for_the_bank_names_the_page_and_can_be_withdrawn(
    api: Any, starter: Subscription, stripe_api: Any
) -> None:
    remote = stripe_api.subscriptions.retrieve(starter.stripe_subscription_id)
    card = stripe_api.payment_methods.attach("pm_card_authenticationRequired", {"customer": remote.customer})
    stripe_api.subscriptions.update(remote.id, {"default_payment_method": card.id})

    changed = api.post("subscription/change", {"plan": "creator"}, key="c").json()

    assert changed["plan"] == "starter"
    waiting = changed["pending_change"]
    assert (waiting["plan"], waiting["url"].startswith("http")) == ("creator", True)
    assert (
        waiting["message"]
        == "Your bank asks you to confirm the payment; your plan changes to Creator when you have."
    )
    assert api.post("subscription/resume", {}).json()["pending_change"] is None


def test_a_cancellation_may_have_a_reason_that_stripe_and_staff_see(
    api: Any, starter: Subscription, stripe_api: Any
) -> None:
    reason = {"feedback": "too_expensive", "comment": "Twice the price of last year"}
    cancelled = api.post("subscription/cancel", reason, key="c").json()

    assert (cancelled["cancel_at_period_end"], cancelled["cancellation"]) == (True, reason)
    details = stripe_api.subscriptions.retrieve(starter.stripe_subscription_id).cancellation_details
    assert (details.feedback, details.comment) == (reason["feedback"], reason["comment"])
    starter.refresh_from_db()
    assert starter.cancel_feedback == "too_expensive"

    resumed = api.post("subscription/resume", {}).json()
    assert (resumed["cancel_at_period_end"], resumed["cancellation"]) == (False, None)
    assert api.post("subscription/cancel", {"feedback": "boring"}, key="c2").status_code == 400


def test_a_cancelled_subscription_has_no_next_plan(api: Any, starter: Subscription) -> None:
    """A scheduled downgrade is withdrawn by the cancellation that follows it."""
    api.post("subscription/change", {"plan": "creator"}, key="u")
    assert api.post("subscription/change", {"plan": "starter"}, key="d").json()["next_plan"] == "starter"
    cancelled = api.post("subscription/cancel", {}, key="c").json()
    assert (cancelled["cancel_at_period_end"], cancelled["next_plan"]) == (True, None)
    assert api.get("subscription").json()["next_plan"] is None


def test_a_repeated_cancellation_or_resumption_changes_nothing_that_followed(
    api: Any, starter: Subscription
) -> None:
    cancelled = api.post("subscription/cancel", {}, key="c")
    resumed = api.post("subscription/resume", {}, key="r")
    again = api.post("subscription/cancel", {}, key="c")
    assert (again.content, again["Idempotent-Replayed"]) == (cancelled.content, "true")
    assert api.get("subscription").json()["cancel_at_period_end"] is False
    api.post("subscription/cancel", {}, key="c2")
    assert api.post("subscription/resume", {}, key="r").content == resumed.content
    assert api.get("subscription").json()["cancel_at_period_end"] is True
    assert api.post("subscription/cancel", {"comment": "other"}, key="c").status_code == 422


def test_a_cancellation_whose_response_was_lost_can_be_withdrawn_and_made_again(
    api: Any, starter: Subscription, stripe_api: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    update = stripe_gateway.update_subscription

    def lose_the_response(**arguments: Any) -> Any:
        monkeypatch.setattr(stripe_gateway, "update_subscription", update)
        update(**arguments)
        raise stripe_gateway.StripeUnavailable

    monkeypatch.setattr(stripe_gateway, "update_subscription", lose_the_response)
    with pytest.raises(stripe_gateway.StripeUnavailable):
        changes.cancel(starter.account, timezone.now())
    for action, cancelled in (("resume", False), ("cancel", True)):
        assert api.post(f"subscription/{action}", {}, key=action).json()["cancel_at_period_end"] is cancelled
        remote = stripe_api.subscriptions.retrieve(starter.stripe_subscription_id)
        assert remote.cancel_at_period_end is cancelled
