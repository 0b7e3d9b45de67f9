"""A refunded or disputed payment of a plan takes back the credits of its period, and the plan."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone
from structlog.testing import capture_logs

from accounts.models import Account, User
from billing import ledger, stripe_gateway
from billing.models import Grant, Purchase, Refund, StripeEvent, Subscription, WithdrawnPlanPayment
from billing.refunds import credit_balances, plan_payments
from billing.subscriptions import stripe_sync
from billing.webhooks import reconciliation
from tests.billing.conftest import change_policies
from tests.billing.refunds.conftest import MONTHLY, at_stripe, debt, of_plan, state
from tests.billing.subscriptions import conftest as subscriptions

pytestmark = pytest.mark.django_db
clock, advance = subscriptions.clock, subscriptions.advance


@pytest.mark.fault("P25")
@pytest.mark.parametrize("how", ["dispute", "resolve", "refund"])
def test_the_unspent_credits_go_the_spent_ones_are_owed_and_the_plan_is_cancelled(
    subscribe: Callable[..., Purchase],
    spend: Callable[[Decimal], Any],
    stripe_api: Any,
    account: Account,
    bank: Callable[..., Any],
    deliver: Callable[[], None],
    how: str,
) -> None:
    purchase = subscribe()
    assert of_plan(account) == MONTHLY
    spend(Decimal(300))

    if how == "refund":
        stripe_api.refunds.create({"payment_intent": purchase.stripe_payment_id})
    else:
        bank(purchase, how)
    deliver()

    assert (of_plan(account), debt(account)) == (0, 310)
    assert state(account)[0] == "free-trial"
    assert at_stripe(stripe_api, purchase) == "canceled"
    assert ledger.audit.run(now=timezone.now()).findings == []


@pytest.mark.fault("P25", "P28")
def test_winning_restores_the_credits_exactly_also_after_the_plan_was_cancelled(
    subscribe: Callable[..., Purchase],
    spend: Callable[[Decimal], Any],
    account: Account,
    bank: Callable[..., Any],
    deliver: Callable[[], None],
) -> None:
    purchase = subscribe()
    spend(Decimal(300))
    for actions, left, owed in ((["dispute"], 0, 310), (["win"], 700, 0), (["reverse"], 0, 310)):
        bank(purchase, *actions)
        deliver()
        assert (of_plan(account), debt(account)) == (left, owed)
    assert state(account)[0] == "free-trial", "Stripe's subscription has ended"


@pytest.mark.fault("P25", "P28")
def test_a_catalogue_may_leave_the_plan_past_due_until_the_dispute_is_won(
    subscribe: Callable[..., Purchase],
    stripe_api: Any,
    account: Account,
    bank: Callable[..., Any],
    advance: Callable[..., None],
    deliver: Callable[[], None],
    events: Callable[..., Any],
    process_event: Callable[..., StripeEvent],
) -> None:
    change_policies(plan_dispute="past_due")
    purchase = subscribe()
    bank(purchase, "dispute")
    deliver()
    assert state(account) == ("starter", "past_due")
    assert (of_plan(account), debt(account)) == (0, 0)
    assert at_stripe(stripe_api, purchase) == "active"

    advance(days=2)
    [created] = events("customer.subscription.created")
    process_event({**created, "id": "evt_again"})
    assert state(account) == ("starter", "past_due"), "whatever Stripe's subscription says"
    assert subscriptions.of_kind(account, "daily") == 0

    bank(purchase, "win")
    deliver()
    assert state(account) == ("starter", "active")
    assert of_plan(account) == MONTHLY
    assert subscriptions.of_kind(account, "daily") == 10


@pytest.mark.fault("P25")
def test_a_plan_that_is_past_due_for_a_dispute_gives_credits_again_when_the_next_period_is_paid(
    subscribe: Callable[..., Purchase],
    account: Account,
    bank: Callable[..., Any],
    advance: Callable[..., None],
    deliver: Callable[[], None],
) -> None:
    change_policies(plan_dispute="past_due")
    bank(subscribe(), "dispute", "lose")
    deliver()
    advance(days=31, hours=2)
    assert state(account) == ("starter", "active")
    assert of_plan(account) == MONTHLY


@pytest.mark.fault("P20", "P25")
def test_a_refund_of_a_plan_that_fails_later_returns_the_credits(
    subscribe: Callable[..., Purchase],
    stripe_api: Any,
    account: Account,
    deliver: Callable[[], None],
    client: Any,
) -> None:
    change_policies(plan_dispute="past_due")
    purchase = subscribe()
    refund = stripe_api.refunds.create({"payment_intent": purchase.stripe_payment_id})
    deliver()
    assert state(account) == ("starter", "past_due")

    client.post(f"/sandbox/objects/{refund.id}/act", {"action": "fail"})
    deliver()

    assert (of_plan(account), debt(account)) == (MONTHLY, 0)
    assert state(account) == ("starter", "active")


@pytest.mark.fault("P6", "P25")
def test_a_dispute_that_arrives_before_the_payment_of_the_plan_is_applied(
    clock: Any,
    stripe_api: Any,
    account: Account,
    alice: User,
    bank: Callable[..., Any],
    events: Callable[..., Any],
    process_event: Callable[..., StripeEvent],
    subscribe: Callable[..., Purchase],
) -> None:
    purchase = subscribe()
    # the state before the payment was recorded
    bank(purchase, "dispute")
    created = events("charge.dispute.created")[0]
    Purchase.objects.filter(pk=purchase.pk).update(
        stripe_payment_id=None, stripe_invoice_id=None, status="created", paid_at=None
    )
    stored = process_event(created)
    assert stored.state == "done", stored.error
    assert of_plan(account) == 0
    assert state(account)[0] == "free-trial"


@pytest.mark.fault("P25")
def test_the_cancellation_is_repeated_until_stripe_answers(
    subscribe: Callable[..., Purchase],
    stripe_api: Any,
    account: Account,
    bank: Callable[..., Any],
    deliver: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    purchase = subscribe()
    bank(purchase, "dispute")

    def fail(_: str) -> None:
        raise stripe_gateway.StripeUnavailable("timed out")

    with monkeypatch.context() as patch:
        patch.setattr(stripe_gateway, "cancel_subscription", fail)
        deliver()
    assert state(account) == ("starter", "past_due"), "no credits meanwhile"
    assert WithdrawnPlanPayment.objects.get().due

    reconciliation.run(timezone.now())

    assert at_stripe(stripe_api, purchase) == "canceled"
    assert state(account)[0] == "free-trial"
    assert not WithdrawnPlanPayment.objects.get().due


@pytest.mark.fault("P25")
def test_a_subscription_that_is_cancelled_already_is_fetched(
    subscribe: Callable[..., Purchase], stripe_api: Any, account: Account
) -> None:
    purchase, now = subscribe(), timezone.now()
    stripe_api.subscriptions.cancel(purchase.stripe_subscription_id)
    WithdrawnPlanPayment.objects.create(purchase=purchase, withdrawn=True, due=True, changed_at=now)

    assert plan_payments.bring_subscriptions_in_line(now) == 1

    assert state(account)[0] == "free-trial"


@pytest.mark.fault("P25")
def test_a_request_that_stripe_refuses_alerts_staff_and_is_not_repeated(
    subscribe: Callable[..., Purchase],
    bank: Callable[..., Any],
    deliver: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    purchase = subscribe()
    bank(purchase, "dispute")
    asked: list[str] = []

    def refuse(subscription_id: str) -> None:
        asked.append(subscription_id)
        raise stripe_gateway.StripeError("not allowed")

    monkeypatch.setattr(stripe_gateway, "cancel_subscription", refuse)
    with capture_logs() as logs:
        deliver()
    [failed] = [log for log in logs if log["event"] == "plan_payment_failed"]
    assert (failed["purchase"], failed["error"]) == (purchase.public_id, "not allowed")
    assert (failed["alert"], failed["log_level"]) == (True, "error")
    assert not WithdrawnPlanPayment.objects.get().due
    assert plan_payments.bring_subscriptions_in_line(timezone.now()) == 0
    assert asked == [purchase.stripe_subscription_id]


@pytest.mark.fault("P25")
def test_one_refused_or_postponed_payment_does_not_stop_the_others(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors: dict[str, Exception | None] = {
        "first": stripe_gateway.StripeUnavailable("down"),
        "second": stripe_gateway.StripeError("refused"),
        "third": None,
        "fourth": stripe_sync.StaleSnapshot("changed meanwhile"),
    }
    now = timezone.now()
    for name in errors:
        made = Purchase.objects.create(
            account=account, kind="plan", origin="page", amount=1, list_amount=1, currency="usd",
            credits=0, idempotency_key=name, created_at=now, stripe_subscription_id=name,
        )  # fmt: skip
        WithdrawnPlanPayment.objects.create(purchase=made, withdrawn=False, due=True, changed_at=now)

    def synchronize(subscription_id: str, _now: Any) -> None:
        if error := errors[subscription_id]:
            raise error

    monkeypatch.setattr(stripe_sync, "synchronize", synchronize)
    monkeypatch.setattr(credit_balances, "bring_in_line", lambda *_, **__: None)
    with capture_logs() as logs:
        assert plan_payments.bring_subscriptions_in_line(now) == 2
    due = WithdrawnPlanPayment.objects.filter(due=True)
    assert {row.purchase.idempotency_key for row in due} == {"first", "fourth"}
    assert sorted(log["event"] for log in logs) == ["plan_payment_failed", *["plan_payment_postponed"] * 2]


def test_one_run_brings_a_hundred_payments_in_line(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    values: dict[str, Any] = {"kind": "plan", "origin": "page", "amount": 1, "list_amount": 1, "credits": 0}
    values |= {"currency": "usd", "created_at": timezone.now(), "stripe_subscription_id": "sub_1"}
    made = Purchase.objects.bulk_create(
        Purchase(account=account, idempotency_key=str(number), **values) for number in range(101)
    )
    WithdrawnPlanPayment.objects.bulk_create(
        WithdrawnPlanPayment(purchase=one, withdrawn=False, due=True, changed_at=timezone.now())
        for one in made
    )
    asked: list[str] = []
    monkeypatch.setattr(stripe_sync, "synchronize", lambda stripe_id, _now: asked.append(stripe_id))
    monkeypatch.setattr(credit_balances, "bring_in_line", lambda *_, **__: None)
    assert plan_payments.bring_subscriptions_in_line(timezone.now()) == len(asked) == 100
    assert plan_payments.bring_subscriptions_in_line(timezone.now()) == 1


@pytest.mark.fault("P25", "P28")
def test_a_dispute_that_is_won_before_the_cancellation_was_sent_keeps_the_plan(
    subscribe: Callable[..., Purchase],
    stripe_api: Any,
    account: Account,
    bank: Callable[..., Any],
    deliver: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    purchase = subscribe()
    bank(purchase, "dispute")
    with monkeypatch.context() as patch:
        patch.setattr(
            plan_payments,
            "_bring_in_line",
            lambda *_: (_ for _ in ()).throw(stripe_gateway.StripeUnavailable("down")),
        )
        deliver()
    bank(purchase, "win")
    deliver()
    assert at_stripe(stripe_api, purchase) == "active"
    assert (state(account), of_plan(account)) == (("starter", "active"), MONTHLY)


@pytest.mark.fault("P25")
def test_a_refunded_upgrade_takes_what_the_upgrade_gave(
    subscribe: Callable[..., Purchase],
    stripe_api: Any,
    account: Account,
    advance: Callable[..., None],
    deliver: Callable[[], None],
) -> None:
    subscribe()
    advance(days=10)
    subscriptions.change_plan(account, "creator")
    deliver()
    upgrade = Purchase.objects.filter(kind="plan").order_by("-created_at").first()
    assert upgrade is not None
    given = Grant.objects.filter(account_id=account.pk, idempotency_key__startswith="allowance:creator:")
    credits = sum(grant.credits for grant in given)
    assert credits > 0
    stripe_api.refunds.create({"payment_intent": upgrade.stripe_payment_id})
    deliver()
    assert Refund.objects.get().credits == credits
    assert debt(account) == 0
    assert state(account)[0] == "free-trial"
    assert ledger.audit.run(now=timezone.now() + timedelta(seconds=1)).findings == []


def test_a_plan_whose_payment_has_left_is_overdue_whatever_stripes_subscription_says(
    subscribe: Callable[..., Purchase], account: Account
) -> None:
    purchase, now = subscribe(), timezone.now()
    Subscription.objects.update(recovery_url="https://pay")
    WithdrawnPlanPayment.objects.create(purchase=purchase, withdrawn=True, due=False, changed_at=now)
    versions = []
    for _again in range(2):
        stripe_sync.synchronize(purchase.stripe_subscription_id, now)
        subscription = Subscription.objects.get(account=account)
        assert (subscription.state, subscription.recovery_url) == ("past_due", "")
        versions.append(subscription.version)
    assert versions[0] == versions[1]
