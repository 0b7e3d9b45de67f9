"""Facts of billing become events for webhooks: once each, in the transaction of the fact."""

import json
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import Account, Project, User, WebhookEvent
from accounts.webhook_endpoints import endpoints, events
from billing import ledger
from billing.models import AutoTopUp, Purchase
from billing.notifications import expiry_warnings, low_credit_alerts
from billing.payments import fulfilment
from billing.purchases import checkout, top_up_failures
from billing.refunds import requests as refunds
from tests import openapi
from tests.billing.conftest import DECLINES
from tests.billing.ledger.conftest import NOON, allowance, charge_request, give, hold, new_account, spend

pytestmark = pytest.mark.django_db


def listen(*types: str, account: Account | None = None) -> None:
    endpoints.create(
        account=account,
        url="https://hooks.example.com/",
        events=types or WebhookEvent.Type.values,
        description="",
        now=timezone.now(),
    )


def recorded(*types: str) -> list[WebhookEvent]:
    """Events in order, each valid for the OpenAPI document."""
    found = [event for event in WebhookEvent.objects.order_by("pk") if not types or event.type in types]
    for event in found:
        described = openapi.document()["webhooks"][event.type]["post"]["requestBody"]["content"]
        validator = openapi.validator(json.dumps(described["application/json"]["schema"]))
        validator.validate(json.loads(events.body_of(event)))
    return found


# The ledger


def test_a_grant_is_an_event_with_the_accounts_external_id() -> None:
    listen("credits.granted")
    account = new_account()
    Account.objects.filter(pk=account).update(external_id="user-7")
    until = NOON + timedelta(days=9)
    given = give(account, "12.5", expires_at=until, services=["gpt-4o"], kind="bonus", label="Welcome")
    give(account, "12.5", expires_at=until, services=["gpt-4o"], kind="bonus", label="Welcome")  # replayed
    [event] = recorded()
    assert event.created_at == NOON
    assert event.data["account"]["external_id"] == "user-7"
    assert event.data["grant"] == {
        "id": f"grant_{given.grant_id.hex}",
        "kind": "bonus",
        "label": "Welcome",
        "granted": "12.5",
        "expires_at": "2026-03-19T12:00:00.000000Z",
        "services": ["gpt-4o"],
        "purchase": None,
    }


def test_renewed_allowances_are_events(account: Account) -> None:
    listen("credits.granted", account=account)
    ledger.settle([account.pk], timezone.now() + timedelta(days=1))
    [event] = recorded()
    assert (event.data["grant"]["kind"], event.account_id) == ("daily", account.pk)


def test_a_balance_that_falls_below_the_threshold_is_one_event() -> None:
    listen("balance.low", "balance.depleted")
    account = new_account()
    give(account, "100")
    ledger.set_warning(account_id=account, below=Decimal(50), now=NOON)
    for number in range(6):
        spend(account, "10", f"{number}")
    spend(account, "10", "5")  # replayed
    [event] = recorded()
    assert event.type == "balance.low"
    assert (event.data["balance"], event.data["threshold"]) == ("40", "50")


def balance_events() -> list[tuple[str, str]]:
    """Those recorded so far, as if the transaction ended here: falls to zero are recorded at its end."""
    with connection.cursor() as cursor:
        cursor.execute("set constraints all immediate; set constraints all deferred")
    return [(event.type, event.data["balance"]) for event in recorded() if event.type.startswith("balance.")]


def test_a_balance_that_is_used_up_at_once_is_low_and_depleted() -> None:
    listen("balance.low", "balance.depleted")
    account = new_account()
    give(account, "100")
    ledger.set_warning(account_id=account, below=Decimal(50), now=NOON)
    ledger.charge_many([charge_request(account, "100", f"{number}") for number in range(1)], NOON)
    assert balance_events() == [("balance.low", "0"), ("balance.depleted", "0")]


def test_each_fall_to_zero_is_one_event_also_below_the_threshold_and_after_credits_came_back() -> None:
    listen("balance.low", "balance.depleted")
    account = new_account()
    give(account, "100")
    ledger.set_warning(account_id=account, below=Decimal(50), now=NOON)
    spend(account, "60", "a")
    expected = [("balance.low", "40")]
    assert balance_events() == expected
    spend(account, "40", "b")
    expected += [("balance.depleted", "0")]
    assert balance_events() == expected
    give(account, "10", "more")
    assert balance_events() == expected
    spend(account, "10", "c")
    expected += [("balance.depleted", "0")]
    assert balance_events() == expected, "the balance did not rise above the threshold"


def test_a_fall_to_zero_without_an_alert_is_an_event() -> None:
    listen("balance.depleted")
    account = new_account()
    give(account, "100")
    hold(account, "100")
    assert balance_events() == [("balance.depleted", "0")]
    assert recorded()[0].data["threshold"] is None


def test_a_balance_that_is_renewed_at_the_instant_of_its_end_is_not_depleted() -> None:
    """Settling writes the expiry, then the end of the hold, then the renewal."""
    listen("balance.depleted")
    account, midnight = new_account(), NOON + timedelta(hours=12)
    give(account, "5")
    request = charge_request(account, "5", "hold")
    ledger.hold(request, expires_at=midnight, now=NOON, at_expiry="capture_estimate")
    assert len(balance_events()) == 1  # the hold took all that there was
    give(account, "10", "ends", expires_at=midnight)
    daily = allowance("daily", "10", anchor_at=midnight)
    ledger.set_allowances(account_id=account, allowances=[daily], now=NOON)
    ledger.settle([account], midnight)
    assert ledger.balance(account, midnight).total == 10
    assert len(balance_events()) == 1


def test_a_low_balance_has_its_event_before_the_e_mail_task_runs(account: Account) -> None:
    """The order of the events is that of the facts: credits granted afterwards come afterwards."""
    listen("balance.low", "balance.depleted", "credits.granted", account=account)
    now = timezone.now()
    give(account.pk, "100", "first", now)
    ledger.set_warning(account_id=account.pk, below=Decimal("1000"), now=now)
    spend(account.pk, "1", now=now)
    give(account.pk, "5000", "second", now)
    low_credit_alerts.queue_emails(now)
    low_credit_alerts.queue_emails(now)
    assert [event.type for event in recorded()] == ["credits.granted", "balance.low", "credits.granted"]


@pytest.mark.parametrize("use", [spend, hold], ids=["charge", "hold"])
def test_a_limit_that_refuses_is_one_event_for_each_window(use: Callable[..., Any]) -> None:
    listen("limit.reached")
    account = new_account()
    give(account, "1000")
    project = Project.objects.create(account_id=account, name="Server")
    ledger.set_limit(
        account_id=account,
        kind="project",
        subject=str(project.pk),
        period="day",
        maximum=Decimal(5),
        now=NOON,
    )
    for number in range(3):
        with pytest.raises(ledger.LimitReached):
            use(account, "6", f"{number}", project_id=project.pk)
    [event] = recorded()
    assert event.data | {"account": None} == {
        "account": None,
        "limit": "project",
        "project": project.public_id,
        "period": "day",
        "maximum": "5",
        "resets_at": "2026-03-11T00:00:00.000000Z",
    }
    tomorrow = NOON + timedelta(days=1)
    with pytest.raises(ledger.LimitReached):
        spend(account, "6", "tomorrow", tomorrow, project_id=project.pk)
    assert len(recorded()) == 2


def test_the_limits_of_a_key_by_day_and_by_month_have_events_of_their_own() -> None:
    """Also on the last day of a month, when both windows end at one instant."""
    listen("limit.reached")
    account, key, now = new_account(), uuid4(), NOON + timedelta(days=21)
    give(account, "1000")
    for period in ("day", "month"):
        terms = {"kind": "key", "subject": str(key), "period": period, "maximum": Decimal(5)}
        ledger.set_limit(account_id=account, now=now, **terms)
        with pytest.raises(ledger.LimitReached):
            spend(account, "6", period, now, api_key_id=key)
        ledger.set_limit(account_id=account, now=now, **terms | {"maximum": None})
    assert [event.data["period"] for event in recorded()] == ["day", "month"]
    assert len({event.data["resets_at"] for event in recorded()}) == 1


def test_a_move_that_is_rolled_back_has_no_event() -> None:
    listen()
    account = new_account()
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        give(account, "5")
        1 / 0  # noqa: B018
    assert recorded() == []


def test_a_charge_has_no_statement_more_whoever_listens() -> None:
    def statements(key: str) -> int:
        with CaptureQueriesContext(connection) as queries:
            spend(account, "1", key)
        return len(queries)

    account = new_account()
    give(account, "100")
    spend(account, "1", "first")
    alone = statements("a")
    listen()
    assert statements("b") == alone


# Purchases


def test_a_paid_purchase_is_one_event_after_repeated_news(
    paid_purchase: Callable[..., Purchase], process_all_events: Callable[..., Any], account: Account
) -> None:
    listen("purchase.paid", "purchase.failed", "credits.granted", account=account)
    purchase = paid_purchase()
    process_all_events()
    process_all_events()
    checkout.refresh_from_stripe(purchase, timezone.now())
    granted, paid = recorded()
    assert (granted.type, paid.type) == ("credits.granted", "purchase.paid")
    assert granted.data["grant"]["purchase"] == purchase.public_id
    described = paid.data["purchase"]
    assert (described["id"], described["status"], described["amount"]) == (
        purchase.public_id,
        "paid",
        purchase.amount,
    )
    assert paid.data["account"]["id"] == account.public_id


def test_a_failed_purchase_is_one_event(new_purchase: Callable[..., Purchase]) -> None:
    listen("purchase.failed")
    purchase = new_purchase()
    for _ in range(2):
        fulfilment.mark_failed(purchase.pk, reason="The card was declined.", now=timezone.now())
    [event] = recorded()
    assert (event.data["purchase"]["status"], event.data["purchase"]["failure"]) == (
        "failed",
        "The card was declined.",
    )
    plan = Purchase.objects.create(
        account=purchase.account,
        kind="plan",
        origin="page",
        offer="starter",
        label="Starter",
        amount=900,
        list_amount=900,
        currency="usd",
        idempotency_key="plan",
        created_at=timezone.now(),
    )
    fulfilment.mark_failed(plan.pk, reason="Expired card.", now=timezone.now())
    described = [event.data["purchase"] for event in recorded()]
    assert [(one["pack"], one["plan"]) for one in described] == [(purchase.offer, None), (None, "starter")]


def test_what_staff_note_about_a_payment_is_not_sent_to_the_account(
    new_purchase: Callable[..., Purchase],
) -> None:
    listen("purchase.paid")
    purchase = new_purchase()
    Purchase.objects.update(status="quarantined", error="1080 JPY, expected 1080 USD")
    fulfilment.credit_quarantined(purchase, actor="staff@example.org: asked the bank", now=timezone.now())
    [event] = recorded()
    assert (event.data["purchase"]["status"], event.data["purchase"]["failure"]) == ("paid", None)


def test_a_payment_that_can_be_tried_again_is_no_event(
    new_purchase: Callable[..., Purchase], pay: Callable[..., Any], process_all_events: Callable[..., Any]
) -> None:
    listen("purchase.failed")
    pay(new_purchase(), DECLINES)
    process_all_events()
    assert recorded() == []


def test_a_refund_is_one_event(
    paid_purchase: Callable[..., Purchase],
    process_all_events: Callable[..., Any],
    refund_window: None,
    alice: User,
) -> None:
    listen("purchase.refunded")
    purchase = paid_purchase()
    refund = refunds.create(purchase=purchase, user=alice, message="", now=timezone.now())
    refunds.approve(refund, actor="staff", reason="", now=timezone.now())
    process_all_events()
    [event] = recorded()
    assert event.data["refund"]["id"] == refund.public_id
    assert event.data["refund"]["amount"] == event.data["purchase"]["refunded"] == purchase.amount


def test_a_refund_made_at_stripe_is_one_event(
    stripe_api: Any, paid_purchase: Callable[..., Purchase], process_all_events: Callable[..., Any]
) -> None:
    listen("purchase.refunded")
    purchase = paid_purchase()
    stripe_api.refunds.create({"payment_intent": purchase.stripe_payment_id, "amount": 100})
    process_all_events()
    process_all_events()
    [event] = recorded()
    assert (event.data["refund"]["amount"], event.data["purchase"]["refunded"]) == (100, 100)


def test_a_failed_top_up_is_an_event(new_purchase: Callable[..., Purchase], account: Account) -> None:
    listen("auto_top_up.failed")
    AutoTopUp.objects.create(account=account, enabled=True, attempt_card="pm_1")
    purchases = new_purchase(), new_purchase(key="second")
    for purchase, outcome in zip(purchases, ("suspended", "declined"), strict=True):
        with transaction.atomic():
            top_up_failures.count(purchase, outcome, timezone.now())
    assert [event.data["auto_top_up"] for event in recorded()] == [
        {"outcome": "suspended", "failures": 1, "suspended": True},
        {"outcome": "declined", "failures": 2, "suspended": False},
    ]


# Subscriptions and expiry


def test_a_change_of_plan_is_an_event(account: Account) -> None:
    from billing.subscriptions import lifecycle
    from pricing.models import Plan

    listen("subscription.changed")
    now = timezone.now()
    other = Plan.objects.exclude(key=account.subscription.plan).first()
    assert other is not None
    with transaction.atomic():
        subscription = lifecycle.lock_subscription(account.pk)
        lifecycle.change_plan(subscription, other, now=now, reason="staff")
        lifecycle.save_new_version(subscription, now)  # nothing that a receiver sees
    [event] = recorded()
    described = event.data["subscription"]
    assert (described["plan"], described["state"], described["next_plan"]) == (other.key, "active", None)

    subscription.next_plan = "starter"
    for cancelled in (False, True):
        subscription.cancel_at_period_end = cancelled
        with transaction.atomic():
            lifecycle.save_new_version(subscription, now)
    assert [event.data["subscription"]["next_plan"] for event in recorded()[1:]] == ["starter", None]


def test_credits_that_expire_soon_are_one_event() -> None:
    listen("credits.expiring")
    give(new_account(), "10", expires_at=NOON + timedelta(days=23))
    for _ in range(2):
        expiry_warnings.queue_due(NOON + timedelta(days=20), ahead=timedelta(days=7))
    [event] = recorded()
    assert (event.data["grant"]["remaining"], event.data["grant"]["kind"]) == ("10", "top_up")


def test_each_type_has_a_schema() -> None:
    documented = set(openapi.document()["webhooks"])
    assert documented == {*WebhookEvent.Type.values, WebhookEvent.TEST}
    assert set(events.Type.values) == set(WebhookEvent.Type.values)
