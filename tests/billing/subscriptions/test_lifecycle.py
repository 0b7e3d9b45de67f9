"""Legacy plans, quotas and allowances of a subscription."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.utils import timezone

from accounts.models import Account, User
from billing import ledger, offers, selectors
from billing.models import Entry, Grant, PlanChange, Purchase, StripeEvent, Subscription
from billing.payments import customers
from billing.purchases import create
from billing.subscriptions import ledger_terms, lifecycle, plan_terms, previews
from pricing.models import Plan
from tests.billing.subscriptions.conftest import buy_starter, of_kind

pytestmark = pytest.mark.django_db


@pytest.mark.requirement("REFLY-08", "REFLY-09")
def test_a_legacy_plan_keeps_granting_and_cannot_be_entered_again_after_it_is_left(
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
    with pytest.raises(offers.PlanClosed):
        subscribe("pro")
    with pytest.raises(offers.PlanClosed):
        previews.preview(account, plan_key="pro", interval="", currency="usd", now=timezone.now())
    with pytest.raises(offers.PlanClosed):
        lifecycle.assign_plan(account=account, plan_key="pro", actor="staff", now=timezone.now())


def test_quotas_change_with_the_plan(subscribe: Callable[..., Subscription], account: Account) -> None:
    assert [quota.maximum for quota, _used in selectors.quota_usage(account.pk)] == [100]

    subscribe("starter")

    assert selectors.quota_usage(account.pk) == []
    assert Plan.objects.get(key="starter").quotas == []


def test_an_allowance_with_an_empty_list_of_services_is_for_all_services() -> None:
    allowance = {"key": "monthly", "kind": "plan", "label": "Monthly", "credits": "100", "period": "month"}
    plan = Plan(key="any", allowances=[allowance | {"lasts": "period", "services": []}])

    [terms] = ledger_terms.allowance_terms(plan, anchor_at=timezone.now(), ends_at=None, once_at=None)

    assert terms.services is None


@pytest.mark.parametrize(("balance", "charged"), [(-300, 690), (-970, 0), (-10_000, 0), (250, 1240)])
def test_a_credit_balance_at_stripe_pays_the_first_invoice_of_a_plan(
    stripe_api: Any,
    account: Account,
    alice: User,
    process_all_events: Callable[[], list[StripeEvent]],
    balance: int,
    charged: int,
) -> None:
    stripe_api.customers.update(customers.ensure_customer(account), {"balance": balance})

    subscription = buy_starter(account, alice, "month")

    assert {event.state for event in process_all_events()} <= {"done", "ignored"}
    purchase = Purchase.objects.get()
    assert (subscription.plan, purchase.status, purchase.amount) == ("starter", "paid", charged)
    intents = stripe_api.payment_intents.list({}).data
    assert sum(intent.amount_received for intent in intents) == charged


def test_an_account_gets_its_first_plan_once(account: Account) -> None:
    def facts() -> tuple[Any, ...]:
        found = Subscription.objects.get(account=account)
        entries = Entry.objects.filter(account=account).count()
        return found.plan, found.version, found.anchor_at, PlanChange.objects.count(), entries

    before = facts()
    starter = Plan.objects.get(key="starter")
    found = lifecycle.create_subscription(account=account, plan=starter, now=timezone.now(), once=True)
    assert (found.plan, facts()) == ("free-trial", before)


def test_a_paid_period_that_begins_a_second_after_the_request_grants_its_credits_at_once(
    account: Account, clock: time_machine.Traveller
) -> None:
    now = timezone.now()
    start, end = now + timedelta(seconds=1), now + timedelta(days=30)
    lifecycle.change_plan(
        lifecycle.lock_subscription(account.pk),
        Plan.objects.get(key="starter"),
        now=now,
        reason="",
        paid=lifecycle.PaidPeriod(
            interval="month", currency="usd", amount=990, period_start=start, period_end=end, paid_until=end,
            stripe_subscription_id="sub_1", stripe_item_id="si_1",
        ),
    )  # fmt: skip
    granted = Grant.objects.filter(account=account, allowance__startswith="starter:", kind="bonus")
    assert list(granted.values_list("credits", "created_at")) == [(1000, start)]


@pytest.mark.requirement("REFLY-08", "REFLY-09")
@pytest.mark.parametrize(
    ("fields", "plan", "expected"),
    [
        ({}, "pro", "pro"),
        ({}, "free-trial", "free-trial"),
        ({}, "early-bird", "early-bird"),
        ({}, "starter", offers.PlanClosed),
        ({}, "unknown", Plan.DoesNotExist),
        ({"plan": "starter"}, "starter", "starter"),
        ({"plan": "starter"}, "free-trial", "free-trial"),
        ({"stripe_subscription_id": "sub_1"}, "pro", offers.PlanClosed),
        ({"stripe_subscription_id": "sub_1", "plan": "pro"}, "pro", "pro"),
        ({"stripe_subscription_id": "sub_1", "plan": "pro"}, "free-trial", offers.PlanClosed),
    ],
    ids=str,
)
def test_which_plans_staff_assign(
    account: Account, fields: dict[str, Any], plan: str, expected: str | type[Exception]
) -> None:
    Subscription.objects.filter(account=account).update(**fields)
    before = Subscription.objects.get(account=account)

    def assign() -> Subscription:
        return lifecycle.assign_plan(account=account, plan_key=plan, actor="staff", now=timezone.now())

    if not isinstance(expected, str):
        with pytest.raises(expected):
            assign()
        return
    after = assign()
    moved = before.plan != plan
    assert (after.plan, after.version - before.version) == (expected, moved)
    changed = PlanChange.objects.filter(left=before.plan, entered=plan, actor="staff")
    assert changed.count() == moved


def test_staff_assign_no_retired_plan_and_no_legacy_plan_that_was_left(account: Account) -> None:
    PlanChange.objects.create(account=account, left="pro", entered="free-trial", created_at=timezone.now())
    with pytest.raises(lifecycle.LegacyPlanLeft):
        lifecycle.assign_plan(account=account, plan_key="pro", actor="", now=timezone.now())
    Plan.objects.filter(key="early-bird").update(retired_at=timezone.now())
    with pytest.raises(Plan.DoesNotExist):
        lifecycle.assign_plan(account=account, plan_key="early-bird", actor="", now=timezone.now())


@pytest.mark.parametrize(("carry_over", "outcome", "kept"), [(True, "carried", 1300), (False, "lost", 0)])
def test_the_first_paid_plan_keeps_the_credits_that_its_preview_says(
    subscribe: Callable[..., Subscription], account: Account, carry_over: bool, outcome: str, kept: int
) -> None:
    def outcomes(plan: str) -> list[str]:
        now = timezone.now()
        shown = previews.preview(account, plan_key=plan, interval="month", currency="usd", now=now)
        return [grant.outcome for grant in shown.grants]

    Plan.objects.filter(key="starter").update(carry_over=carry_over)
    lifecycle.assign_plan(account=account, plan_key="pro", actor="staff", now=timezone.now())
    assert (outcomes("starter"), outcomes("free-trial")) == ([outcome], ["lost"])
    Plan.objects.filter(key="pro").update(rank=25)
    assert outcomes("creator") == ["lost"], "a smaller plan keeps nothing of one without payment"
    Plan.objects.filter(key="pro").update(rank=6)

    subscribe("starter", confirm=True)

    left = ledger.balance(account.pk, timezone.now()).grants
    assert sum(grant.remaining for grant in left if grant.label == "Pro credits") == kept
