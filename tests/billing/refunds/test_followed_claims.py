"""Which claims withdraw a plan's payment, what that does to the plan, and what is sent to Stripe."""

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from accounts.models import Account
from billing import ledger, stripe_gateway
from billing.models import Purchase, Refund, Subscription, WithdrawnPlanPayment
from billing.refunds import credit_balances, plan_payments, stripe_refunds
from billing.subscriptions import stripe_sync
from tests.billing.conftest import change_policies
from tests.billing.payments.test_claimed_plan_credits import DAY, INSTANT, MONTH, PLAN
from tests.billing.refunds import test_states as states
from tests.billing.refunds.test_refunds_at_stripe import facts_of
from tests.billing.refunds.test_states import NOW

pytestmark = [pytest.mark.django_db, pytest.mark.fault("P25")]
clock, purchase = states.clock, states.purchase


def refund(of: Purchase, status: str = "done", amount: int = 1000) -> Refund:
    made: Refund = Refund.objects.create(
        account_id=of.account_id, purchase=of, amount=amount, currency="usd", status=status, created_at=NOW
    )
    return made


def dispute(of: Purchase, status: str, *, withdrawn: bool) -> None:
    of.disputes.create(
        account_id=of.account_id, stripe_dispute_id="du_1", amount=1000, currency="usd", status=status,
        withdrawn=withdrawn, created_at=NOW,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "refunded", "withdrawn"),
    [
        ({}, 1000, True),
        ({}, 999, False),
        ({"status": "failed"}, 1000, False),
        ({"status": "created"}, 1000, False),
        ({"kind": "pack"}, 1000, False),
    ],
)
def test_a_paid_plans_payment_is_withdrawn_when_all_of_it_was_refunded(
    purchase: Callable[..., Purchase], fields: dict[str, Any], refunded: int, withdrawn: bool
) -> None:
    payment = purchase(**PLAN | fields)
    refund(payment, amount=refunded)
    plan_payments.follow_claims(payment, NOW)
    rows = WithdrawnPlanPayment.objects.values_list("withdrawn", "due", "changed_at")
    assert list(rows) == ([(True, True, NOW)] if withdrawn else [])


@pytest.mark.parametrize(
    ("fields", "state", "url"),
    [
        ({}, "past_due", ""),
        ({"state": "paused"}, "paused", "https://pay"),
        ({"stripe_subscription_id": "sub_2"}, "active", "https://pay"),
        ({"stripe_subscription_id": None}, "active", "https://pay"),
        ({"period_start": MONTH}, "active", "https://pay"),
    ],
    ids=str,
)
def test_the_plan_whose_period_was_paid_by_it_is_overdue_from_then_on(
    purchase: Callable[..., Purchase], account: Account, fields: dict[str, Any], state: str, url: str
) -> None:
    payment = purchase(**PLAN)
    subscription: dict[str, Any] = {"plan": "starter", "state": "active", "recovery_url": "https://pay"}
    subscription |= {"period_start": NOW, "stripe_subscription_id": "sub_1"} | fields
    Subscription.objects.filter(account=account).update(**subscription)
    refund(payment)
    plan_payments.follow_claims(payment, NOW)
    assert Subscription.objects.values_list("state", "recovery_url").get(account=account) == (state, url)


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """What is asked of Stripe: cancel, fetch, or balance with `withdrawn`."""
    sent: list[tuple[str, Any]] = []

    def cancel(subscription_id: str) -> dict[str, Any]:
        sent.append(("cancel", subscription_id))
        return {}

    def fetch(subscription_id: str, _now: datetime) -> None:
        sent.append(("fetch", subscription_id))

    def balance(_payment: Purchase, _subscription_id: str, *, withdrawn: bool) -> None:
        sent.append(("balance", withdrawn))

    monkeypatch.setattr(stripe_gateway, "cancel_subscription", cancel)
    monkeypatch.setattr(stripe_sync, "apply_snapshot", lambda *_: None)
    monkeypatch.setattr(stripe_sync, "synchronize", fetch)
    monkeypatch.setattr(credit_balances, "bring_in_line", balance)
    return sent


def due(payment: Purchase, *, withdrawn: bool = True) -> None:
    WithdrawnPlanPayment.objects.create(purchase=payment, withdrawn=withdrawn, due=True, changed_at=NOW)


@pytest.mark.parametrize(
    ("policy", "withdrawn", "at", "disputed", "request_sent"),
    [
        ("cancel", True, MONTH - INSTANT, None, "cancel"),
        ("cancel", True, MONTH, None, "fetch"),
        ("cancel", True, MONTH, ("open", True), "cancel"),
        ("cancel", True, MONTH, ("won", False), "fetch"),
        ("cancel", False, NOW, None, "fetch"),
        ("past_due", True, NOW, ("open", True), "fetch"),
    ],
)
def test_a_refund_of_the_running_period_or_any_dispute_cancels_the_plan_where_the_policy_says_so(
    purchase: Callable[..., Purchase],
    sent: list[tuple[str, Any]],
    policy: str,
    withdrawn: bool,
    at: datetime,
    disputed: tuple[str, bool] | None,
    request_sent: str,
) -> None:
    change_policies(plan_dispute=policy)
    payment = purchase(**PLAN)
    if disputed:
        dispute(payment, disputed[0], withdrawn=disputed[1])
    due(payment, withdrawn=withdrawn)
    assert plan_payments.bring_subscriptions_in_line(at) == 1
    assert sent == [(request_sent, "sub_1"), ("balance", withdrawn)]
    assert not WithdrawnPlanPayment.objects.get().due


@pytest.mark.parametrize("change", [{"changed_at": NOW + INSTANT}, {"withdrawn": False}], ids=str)
def test_a_change_during_the_requests_is_due_again(
    purchase: Callable[..., Purchase],
    sent: list[tuple[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    change: dict[str, Any],
) -> None:
    due(purchase(**PLAN))
    monkeypatch.setattr(
        credit_balances, "bring_in_line", lambda *_, **__: WithdrawnPlanPayment.objects.update(**change)
    )
    assert plan_payments.bring_subscriptions_in_line(NOW) == 0
    assert WithdrawnPlanPayment.objects.get().due


@pytest.mark.parametrize(
    ("claim", "fields", "taken"),
    [
        ("approved", {}, 100),
        ("pending", {}, 100),
        ("done", {}, 100),
        ("requested", {}, 0),
        ("failed", {}, 0),
        ("withdrawn", {}, 0),
        ("disputed", {}, 100),
        ("inquiry", {}, 0),
        ("done", {"status": "quarantined"}, 0),
        ("done", {"kind": "pack"}, 0),
    ],
    ids=str,
)
def test_claims_to_the_running_period_take_what_the_plan_has_granted_since(
    purchase: Callable[..., Purchase], account: Account, claim: str, fields: dict[str, Any], taken: int
) -> None:
    payment = purchase(**PLAN)
    ledger.grant(
        account_id=account.pk, credits=Decimal(100), kind="plan", label="Monthly",
        key="allowance:starter:monthly:1", now=NOW + DAY,
    )  # fmt: skip
    if claim in {"disputed", "inquiry"}:
        dispute(payment, "open" if claim == "disputed" else "inquiry", withdrawn=claim == "disputed")
    else:
        refund(payment, claim)
    Purchase.objects.update(**fields)
    before = ledger.balance(account.pk, NOW + DAY).total
    for _again in range(2):
        plan_payments.apply_claims_to_new_grants(NOW + DAY)
    assert before - ledger.balance(account.pk, NOW + DAY).total == taken
    assert WithdrawnPlanPayment.objects.filter(withdrawn=True).count() == (1 if taken else 0)


def test_claims_to_a_period_that_has_ended_are_complete(
    purchase: Callable[..., Purchase], account: Account
) -> None:
    payment = purchase(**PLAN)
    refund(payment)
    plan_payments.apply_claims_to_new_grants(MONTH)
    assert not WithdrawnPlanPayment.objects.exists()
    plan_payments.apply_claims_to_new_grants(MONTH - timedelta(microseconds=1))
    assert WithdrawnPlanPayment.objects.exists()


def test_the_total_of_several_refunds_of_a_plan_is_divided_by_their_amounts(
    purchase: Callable[..., Purchase], account: Account
) -> None:
    payment = purchase(**PLAN)
    ledger.grant(
        account_id=account.pk, credits=Decimal(100), kind="plan", label="Monthly",
        key="allowance:starter:monthly:1", now=NOW,
    )  # fmt: skip
    stripe_refunds.apply_stripe_refund(facts_of("re_1", 200), NOW)
    stripe_refunds.apply_refunded_total(payment, 800, NOW)
    stripe_refunds.apply_stripe_refund(facts_of("re_2", 400), NOW)
    rows = Refund.objects.order_by("stripe_refund_id").values_list("stripe_refund_id", "amount", "credits")
    assert list(rows) == [("re_1", 200, 20), ("re_2", 400, 40), (None, 200, 20)]
