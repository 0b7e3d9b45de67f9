"""Legacy plans, quotas and allowances of a subscription."""

from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Account, User
from billing import ledger, offers, selectors
from billing.models import PlanChange, Purchase, StripeEvent, Subscription
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
