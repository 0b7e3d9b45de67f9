"""Plans through Stripe Billing: subscribe, upgrade, downgrade, cancel, overdue, legacy."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import time_machine
from django.test import Client
from django.utils import timezone

from accounts.models import Account, User
from billing import ledger, selectors
from billing.models import PlanChange, Purchase, StripeEvent, Subscription
from billing.payments import cards
from billing.purchases import checkout, create
from billing.subscriptions import changes, lifecycle, plan_terms, previews
from billing.webhooks import events as stripe_events
from pricing.models import Plan
from tests.sandbox.conftest import Buyer

pytestmark = pytest.mark.django_db


@pytest.fixture
def subscribe(stripe_api: Any, account: Account, alice: User) -> Callable[..., Subscription]:
    """Order a plan, pay it, come back."""

    def to(plan: str = "starter", interval: str = "month", confirm: bool = False) -> Subscription:
        order = create.plan_purchase(
            account=account,
            buyer=alice,
            origin="page",
            plan_key=plan,
            interval=interval,
            currency="usd",
            confirm=confirm,
            key=f"plan-{plan}",
            now=timezone.now(),
        )
        url = checkout.open_page(order, timezone.now())
        Buyer().pay(url)
        checkout.refresh_from_stripe(order, timezone.now())
        return Subscription.objects.get(account=account)

    return to


@pytest.fixture
def arrive(
    events: Callable[..., Any], process_event: Callable[..., StripeEvent]
) -> Callable[[], list[StripeEvent]]:
    """Let everything that Stripe has to tell arrive, oldest first."""

    def all_of_it() -> list[StripeEvent]:
        return [process_event(event) for event in events()]

    return all_of_it


def of_kind(account: Account, kind: str) -> Decimal:
    grants = ledger.balance(account.pk, timezone.now()).grants
    return sum((grant.remaining for grant in grants if grant.kind == kind), Decimal(0))


def change(account: Account, plan: str, interval: str = "") -> Subscription:
    now = timezone.now()
    shown = previews.preview(account, plan_key=plan, interval=interval, currency="usd", now=now)
    return changes.confirm(account, shown.token, now)


@pytest.mark.requirement("REFLY-02")
def test_subscribing_gives_the_plans_credits_at_once_and_a_purchase_with_an_invoice(
    subscribe: Callable[..., Subscription], account: Account, arrive: Callable[[], Any]
) -> None:
    after = subscribe("starter")

    assert (after.plan, after.state, after.amount) == ("starter", "active", 990)
    assert (of_kind(account, "daily"), of_kind(account, "bonus")) == (200, 1000)
    states = {event.state for event in arrive()}
    assert states <= {"done", "ignored"}
    purchase = Purchase.objects.get()
    assert (purchase.status, purchase.amount, purchase.kind) == ("paid", 990, "plan")
    assert purchase.invoice_number
    assert (of_kind(account, "daily"), of_kind(account, "bonus")) == (200, 1000)


@pytest.mark.fault("P6")
def test_every_order_of_the_events_ends_in_the_same_state(
    subscribe: Callable[..., Subscription],
    events: Callable[..., Any],
    process_event: Callable[..., StripeEvent],
    account: Account,
) -> None:
    subscribe("starter")
    told = events(
        "invoice.paid",
        "checkout.session.completed",
        "customer.subscription.created",
        "customer.subscription.updated",
        "payment_intent.succeeded",
    )
    assert len(told) >= 4
    for turn, order in enumerate((told, told[::-1], told[1:] + told[:1], told[2:] + told[:2])):
        for event in order:
            assert process_event({**event, "id": f"{event['id']}_{turn}"}).state in {"done", "ignored"}
        row = Subscription.objects.get(account=account)
        assert (row.plan, row.state) == ("starter", "active")
        assert Purchase.objects.get().status == "paid"
        assert (of_kind(account, "daily"), of_kind(account, "bonus")) == (200, 1000)


@pytest.mark.requirement("FLICK-09")
def test_an_upgrade_is_paid_at_once_and_carries_unspent_credits_over(
    subscribe: Callable[..., Subscription], account: Account
) -> None:
    subscribe("starter")
    now = timezone.now()
    shown = previews.preview(account, plan_key="creator", interval="month", currency="usd", now=now)
    assert shown.kind == "upgrade"
    assert 0 < shown.due_now <= 1990

    after = changes.confirm(account, shown.token, now)

    assert (after.plan, after.amount) == ("creator", 1990)
    # at once all of the old plan is unused: its price and its credits are deducted from the new plan's
    assert [(one.label, one.credits) for one in shown.new_grants] == [
        ("Monthly bonus", 3000 - 1000),
        ("Daily refresh", 500),
    ]
    assert of_kind(account, "bonus") == 3000
    assert of_kind(account, "daily") == 500
    bought = Purchase.objects.filter(origin="renewal").get()
    assert (bought.status, bought.amount) == ("paid", shown.due_now)


@pytest.mark.fault("P15")
def test_changing_to_and_fro_within_a_cycle_gives_no_second_allotment(
    subscribe: Callable[..., Subscription], account: Account
) -> None:
    subscribe("creator")
    assert change(account, "starter").next_plan == "starter"
    assert change(account, "creator").next_plan == ""
    change(account, "studio")
    change(account, "creator")
    change(account, "studio")

    assert Subscription.objects.get(account=account).plan == "studio"
    assert of_kind(account, "bonus") == 10_000


def test_a_downgrade_waits_for_the_end_of_the_period(
    subscribe: Callable[..., Subscription], account: Account, arrive: Callable[[], Any]
) -> None:
    subscribe("creator")

    after = change(account, "starter")
    arrive()

    after.refresh_from_db()
    assert (after.plan, after.next_plan, after.next_amount) == ("creator", "starter", 990)
    assert of_kind(account, "bonus") == 3000


def test_a_stale_confirmation_is_refused(subscribe: Callable[..., Subscription], account: Account) -> None:
    subscribe("starter")
    now = timezone.now()
    shown = previews.preview(account, plan_key="creator", interval="month", currency="usd", now=now)
    change(account, "studio")

    with pytest.raises(previews.ConfirmationStale):
        changes.confirm(account, shown.token, now)
    with pytest.raises(previews.ConfirmationStale):
        changes.confirm(account, shown.token[:-2], now)
    assert Subscription.objects.get(account=account).plan == "studio"


@pytest.mark.requirement("RECR-03", "RECR-08")
def test_cancelling_is_taken_back_or_falls_to_the_free_plan_and_bought_credits_stay(
    subscribe: Callable[..., Subscription],
    paid_purchase: Callable[..., Purchase],
    account: Account,
    stripe_api: Any,
    arrive: Callable[[], Any],
) -> None:
    row = subscribe("starter")
    bought = paid_purchase()
    assert changes.cancel(account, timezone.now()).cancel_at_period_end
    assert not changes.resume(account, timezone.now()).cancel_at_period_end
    changes.cancel(account, timezone.now())

    stripe_api.subscriptions.cancel(row.stripe_subscription_id)
    arrive()

    after = Subscription.objects.get(account=account)
    assert (after.plan, after.stripe_subscription_id) == ("free-trial", None)
    assert of_kind(account, "bonus") == 0
    assert of_kind(account, "top_up") == bought.credits
    assert of_kind(account, "daily") <= 200


def test_a_second_subscription_is_refused(subscribe: Callable[..., Subscription]) -> None:
    subscribe("starter")

    with pytest.raises(create.AlreadySubscribed):
        subscribe("creator")


@pytest.mark.requirement("REFLY-08", "REFLY-09")
def test_a_legacy_plan_is_kept_gives_by_itself_and_is_left_for_good_after_a_warning(
    subscribe: Callable[..., Subscription], account: Account, later: Callable[..., Any]
) -> None:
    lifecycle.assign_plan(account=account, plan_key="pro", actor="staff", now=timezone.now())
    assert of_kind(account, "plan") == 1300
    next_month = ledger.balance(account.pk, later(days=32))
    assert sum(grant.remaining for grant in next_month.grants if grant.kind == "plan") == 1300

    with pytest.raises(create.ConfirmationNeeded):
        subscribe("starter")
    assert plan_terms.get(account.pk).legacy
    subscribe("starter", confirm=True)

    assert PlanChange.objects.filter(account=account, left="pro").exists()
    with pytest.raises(lifecycle.PlanClosed):
        subscribe("pro")
    with pytest.raises(lifecycle.PlanClosed):
        previews.preview(account, plan_key="pro", interval="", currency="usd", now=timezone.now())
    with pytest.raises(lifecycle.PlanClosed):
        lifecycle.assign_plan(account=account, plan_key="pro", actor="staff", now=timezone.now())


@pytest.mark.requirement("REFLY-09")
def test_the_page_leaves_a_legacy_plan_only_for_who_says_to_understand(
    stripe_api: Any, account: Account, alice: User, signed_in: Callable[[User], Client]
) -> None:
    lifecycle.assign_plan(account=account, plan_key="plus", actor="staff", now=timezone.now())
    browser = signed_in(alice)
    page = browser.get("/plans/free-trial/")
    assert "can't return to it" in page.content.decode()
    form = {"token": page.context["preview"].token}

    browser.post("/plans/free-trial/", form)
    assert Subscription.objects.get(account=account).plan == "plus"
    browser.post("/plans/free-trial/", form | {"understood": "on"})
    assert Subscription.objects.get(account=account).plan == "free-trial"


@pytest.mark.requirement("REFLY-09")
def test_a_webhook_cannot_enter_a_legacy_plan_either(
    stripe_api: Any,
    account: Account,
    events: Callable[..., Any],
    process_event: Callable[..., StripeEvent],
) -> None:
    from billing.subscriptions import stripe_sync

    price = stripe_sync.ensure_price(plan_key="pro", interval="month", currency="usd", amount=1000)
    customer = cards.ensure_customer(account)
    card = stripe_api.payment_methods.attach("pm_card_visa", {"customer": customer})
    stripe_api.subscriptions.create(
        {
            "customer": customer,
            "items": [{"price": price}],
            "default_payment_method": card.id,
            "metadata": {"account": account.public_id},
        }
    )

    states = [process_event(event).state for event in events("customer.subscription.created", "invoice.paid")]

    assert "quarantined" in states
    assert Subscription.objects.get(account=account).plan == "free-trial"
    assert of_kind(account, "plan") == 0


@pytest.fixture
def in_november() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(datetime(2026, 11, 20, 12, tzinfo=UTC), tick=True) as traveller:
        yield traveller


def test_an_overdue_plan_stops_its_credits_until_it_is_paid(
    subscribe: Callable[..., Subscription],
    account: Account,
    monkeypatch: pytest.MonkeyPatch,
    stripe_api: Any,
) -> None:
    from billing import stripe_gateway
    from billing.subscriptions import stripe_sync

    row = subscribe("starter")
    facts = stripe_gateway.retrieve_subscription(row.stripe_subscription_id)
    now = timezone.now() + timedelta(hours=1)
    overdue = {
        **facts,
        "status": "past_due",
        "latest_invoice": {"id": "in_2", "hosted_invoice_url": "https://pay"},
    }

    stripe_sync.apply_snapshot(overdue, now)

    row.refresh_from_db()
    assert (row.state, row.recovery_url) == ("past_due", "https://pay")
    tomorrow = ledger.balance(account.pk, now + timedelta(days=1))
    assert sum(grant.remaining for grant in tomorrow.grants if grant.kind == "daily") == 0
    assert plan_terms.get(account.pk).past_due

    stripe_sync.apply_snapshot(facts, now + timedelta(days=1))
    row.refresh_from_db()
    assert (row.state, row.recovery_url) == ("active", "")
    again = ledger.balance(account.pk, now + timedelta(days=1))
    assert sum(grant.remaining for grant in again.grants if grant.kind == "daily") == 200


def test_free_plan_quotas_follow_the_plan(subscribe: Callable[..., Subscription], account: Account) -> None:
    assert [quota.maximum for quota, _used in selectors.quota_usage(account.pk)] == [100]

    subscribe("starter")

    assert selectors.quota_usage(account.pk) == []
    assert Plan.objects.get(key="starter").quotas == []


def test_process_waiting_applies_what_a_dead_process_left(
    subscribe: Callable[..., Subscription], events: Callable[..., Any]
) -> None:
    subscribe("starter")
    for event in events("invoice.paid"):
        stripe_events.store(event, timezone.now(), source="webhook")

    assert stripe_events.process_waiting(timezone.now()) == 1
    assert StripeEvent.objects.get().state == StripeEvent.State.DONE


def test_an_allowance_with_an_empty_list_of_services_is_for_all_services() -> None:
    allowance = {"key": "monthly", "kind": "plan", "label": "Monthly", "credits": "100", "period": "month"}
    plan = Plan(key="any", allowances=[allowance | {"lasts": "period", "services": []}])

    [terms] = lifecycle.allowance_terms(plan, anchor_at=timezone.now(), ends_at=None, once_at=None)

    assert terms.services is None


@pytest.mark.requirement("REFLY-09")
def test_the_plans_page_shows_a_legacy_plan_only_to_an_account_on_it(
    catalogue: None, account: Account, alice: User, signed_in: Callable[[User], Client]
) -> None:
    def shown() -> set[str]:
        return {column["plan"].key for column in signed_in(alice).get("/plans/").context["plans"]}

    assert "starter" in shown() and "pro" not in shown()
    lifecycle.assign_plan(account=account, plan_key="pro", actor="staff", now=timezone.now())
    assert "pro" in shown() and "max" not in shown()
