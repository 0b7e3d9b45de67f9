"""Changes of plan whose payment the cardholder has to authenticate, or whose payment is declined."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import Account, User
from billing import stripe_gateway
from billing.models import Purchase, Subscription
from billing.subscriptions import changes, pending_payments, previews, stripe_sync
from sandbox import store
from tests.billing.subscriptions.conftest import bonus, change_plan
from tests.sandbox.conftest import Buyer

pytestmark = pytest.mark.django_db

AUTHENTICATES = "authenticationRequired"


def authenticate(subscription: Subscription) -> None:
    buyer = Buyer()
    buyer.pay(subscription.pending_url, "4000 0027 6000 3184")
    buyer.open(page := buyer.redirect)
    buyer.submit(page, decision="pass")


def test_an_upgrade_waits_for_the_cardholder_and_applies_when_the_payment_is_authenticated(
    starter: Subscription,
    account: Account,
    use_card: Callable[..., None],
    advance: Callable[..., None],
) -> None:
    use_card(starter, AUTHENTICATES)
    advance(days=15)
    now = timezone.now()
    preview = previews.preview(account, plan_key="creator", interval="", currency="usd", now=now)

    waiting = changes.confirm(account, preview.token, now)
    assert (waiting.plan, waiting.pending_plan, bonus(account)) == ("starter", "creator", 1000)
    assert not Purchase.objects.filter(origin="renewal").exists()

    advance(hours=3)
    authenticate(waiting)
    advance(minutes=1)

    starter.refresh_from_db()
    assert (starter.plan, starter.pending_plan, starter.period_start) == ("creator", "", now)
    assert Purchase.objects.get(origin="renewal").amount == preview.due_now == 1990 - 495
    assert bonus(account) == 1000 + 2500


def test_an_upgrade_that_is_not_authenticated_changes_nothing(
    starter: Subscription, account: Account, use_card: Callable[..., None], advance: Callable[..., None]
) -> None:
    use_card(starter, AUTHENTICATES)
    waiting = change_plan(account, "creator")
    advance(hours=24)

    starter.refresh_from_db()
    assert (starter.plan, starter.pending_plan, starter.pending_until) == ("starter", "", None)
    assert store.get("invoice", waiting.pending_invoice)["status"] == "void"
    assert bonus(account) == 1000
    advance(days=30)
    starter.refresh_from_db()
    assert (starter.plan, starter.state) == ("starter", "past_due")  # the renewal needs authentication too


@pytest.mark.parametrize("then", ["creator", "studio", "cancel", "resume"])
def test_another_change_drops_the_one_that_waits(
    starter: Subscription, account: Account, use_card: Callable[..., None], then: str
) -> None:
    use_card(starter, AUTHENTICATES)
    waiting = change_plan(account, "creator")
    use_card(starter, "visa")

    if then == "cancel":
        changes.cancel(account, timezone.now())
    elif then == "resume":
        changes.resume(account, timezone.now())
    else:
        change_plan(account, then)

    starter.refresh_from_db()
    assert starter.plan == (then if then in {"creator", "studio"} else "starter")
    assert starter.pending_plan == ""
    assert store.get("invoice", waiting.pending_invoice)["status"] == "void"


def test_a_change_is_refused_when_the_one_that_waits_was_just_paid(
    starter: Subscription, account: Account, use_card: Callable[..., None]
) -> None:
    use_card(starter, AUTHENTICATES)
    authenticate(change_plan(account, "creator"))

    with pytest.raises(previews.ConfirmationStale):
        changes.cancel(account, timezone.now())

    starter.refresh_from_db()
    assert (starter.plan, starter.cancel_at_period_end) == ("creator", False)


def test_a_declined_upgrade_changes_nothing_and_says_so_in_one_sentence(
    starter: Subscription, account: Account, use_card: Callable[..., None]
) -> None:
    use_card(starter, "chargeCustomerFail")

    with pytest.raises(stripe_gateway.CardDeclined) as declined:
        change_plan(account, "creator")

    assert str(declined.value) == "Your card was declined."
    starter.refresh_from_db()
    assert (starter.plan, starter.pending_plan, bonus(account)) == ("starter", "", 1000)
    use_card(starter, "visa")
    assert change_plan(account, "creator").plan == "creator"


@pytest.mark.parametrize(
    ("status", "error", "declined"),
    [
        ("canceled", {"decline_code": "lost_card", "code": "c", "message": "No."}, ("lost_card", "No.")),
        ("requires_payment_method", {"code": "expired_card", "message": None}, ("expired_card", "")),
        ("canceled", None, ("card_declined", "")),
        ("requires_action", None, None),
        ("succeeded", None, None),
        ("processing", None, None),
    ],
)
def test_only_a_change_whose_payment_has_failed_is_dropped_with_stripes_reason(
    monkeypatch: pytest.MonkeyPatch, status: str, error: Any, declined: tuple[str, str] | None
) -> None:
    intent = {"id": "pi_1", "status": status, "last_payment_error": error}
    payment = {"status": "open", "payment": {"payment_intent": "pi_1"}}
    voided: list[str] = []
    applied: list[str] = []
    monkeypatch.setattr(stripe_gateway, "retrieve_invoice", lambda _id: {"payments": {"data": [payment]}})
    monkeypatch.setattr(stripe_gateway, "retrieve_payment_intent", lambda _id: intent)
    monkeypatch.setattr(stripe_gateway, "void_invoice", voided.append)
    monkeypatch.setattr(stripe_sync, "synchronize", lambda stripe_id, _now: applied.append(stripe_id))
    payload = {"id": "sub_1", "latest_invoice": "in_1"}

    if declined is None:
        pending_payments.require_authentication_only(payload, timezone.now())
    else:
        with pytest.raises(stripe_gateway.CardDeclined) as refused:
            pending_payments.require_authentication_only(payload, timezone.now())
        assert (refused.value.decline_code, refused.value.message) == declined
        assert refused.value.payment == intent
    assert voided == (["in_1"] if declined else [])
    assert applied == ([] if status == "requires_action" else ["sub_1"])


def test_the_page_leads_to_the_confirmation_of_the_payment(
    starter: Subscription, account: Account, use_card: Callable[..., None], alice: User, client: Client
) -> None:
    use_card(starter, AUTHENTICATES)
    waiting = change_plan(account, "creator")
    client.force_login(alice)

    page = client.get("/billing/subscription/").content.decode()

    assert "Your bank asks you to confirm the payment; your plan changes to Creator when you have." in page
    assert f'href="{waiting.pending_url}"' in page


def test_a_response_that_was_lost_leaves_the_same_change_waiting(
    starter: Subscription,
    account: Account,
    use_card: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    use_card(starter, AUTHENTICATES)
    now = timezone.now()
    preview = previews.preview(account, plan_key="creator", interval="", currency="usd", now=now)
    update = stripe_gateway.update_subscription

    def lose_the_response(**arguments: Any) -> Any:
        monkeypatch.setattr(stripe_gateway, "update_subscription", update)
        update(**arguments)
        raise stripe_gateway.StripeUnavailable

    monkeypatch.setattr(stripe_gateway, "update_subscription", lose_the_response)
    with pytest.raises(stripe_gateway.StripeUnavailable):
        changes.confirm(account, preview.token, now)
    waiting = changes.confirm(account, preview.token, now)

    assert waiting.pending_plan == "creator"
    assert len(store.where("invoice", billing_reason="subscription_update")) == 1
