"""A refunded or disputed payment of a plan takes back the credits of its period, and the plan."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
import time_machine
from django.utils import timezone

from accounts.models import Account, User
from billing import ledger, stripe_gateway
from billing.models import Grant, Purchase, Referral, Refund, StripeEvent, Subscription, WithdrawnPlanPayment
from billing.promotions import referrals
from billing.refunds import plan_payments
from billing.subscriptions import plan_terms
from billing.webhooks import reconciliation
from pricing.models import Plan
from tests.billing.conftest import change_policies
from tests.billing.subscriptions import conftest as subscriptions

pytestmark = pytest.mark.django_db
clock, advance = subscriptions.clock, subscriptions.advance
MONTHLY = Decimal(1000)


@pytest.fixture
def subscribe(
    clock: time_machine.Traveller,
    stripe_api: Any,
    account: Account,
    alice: User,
    deliver: Callable[[], None],
) -> Callable[..., Purchase]:
    """Alice subscribes to Starter, whose allowances are 1,000 a month and 10 a day. Returns the payment."""
    allowances = [
        {"key": "month", "kind": "plan", "label": "Plan", "credits": "1000", "period": "month"},
        {"key": "day", "kind": "daily", "label": "Daily", "credits": "10", "period": "day"},
    ]
    for allowance in allowances:
        allowance |= {"lasts": "period", "services": None, "priority": None}
    Plan.objects.filter(key="starter").update(allowances=allowances)

    def begin(interval: str = "month") -> Purchase:
        subscriptions.buy_starter(account, alice, interval)
        deliver()
        return Purchase.objects.get(kind="plan")

    return begin


@pytest.fixture
def spend(account: Account) -> Callable[[Decimal], Any]:
    """Spend credits of the plan's month; daily and other credits that come first are used up."""

    def charge(credits: Decimal) -> None:
        now = timezone.now()
        grants = ledger.balance(account.pk, now).grants
        first = sum((grant.remaining for grant in grants if grant.kind == "daily"), Decimal(0))
        request = ledger.ChargeRequest(
            account_id=account.pk, credits=first + credits, key=f"use-{now}", service="gpt-4o"
        )
        ledger.charge(request, now)

    return charge


def of_plan(account: Account) -> Decimal:
    return subscriptions.of_kind(account, "plan")


def debt(account: Account) -> Decimal:
    return ledger.balance(account.pk, timezone.now()).debt


def state(account: Account) -> tuple[str, str]:
    plan_terms.forget_all()
    subscription = Subscription.objects.get(account=account)
    return subscription.plan, subscription.state


def at_stripe(stripe_api: Any, purchase: Purchase) -> str:
    return str(stripe_api.subscriptions.retrieve(purchase.stripe_subscription_id).status)


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


@pytest.mark.fault("P25")
def test_a_partial_refund_takes_its_part_and_leaves_the_plan(
    subscribe: Callable[..., Purchase],
    stripe_api: Any,
    account: Account,
    deliver: Callable[[], None],
) -> None:
    purchase = subscribe()
    half = {"payment_intent": purchase.stripe_payment_id, "amount": purchase.amount // 2}
    stripe_api.refunds.create(half)
    deliver()
    assert ledger.balance(account.pk, timezone.now()).total == (MONTHLY + 10) / 2
    assert state(account) == ("starter", "active")

    stripe_api.refunds.create(half)
    deliver()
    assert of_plan(account) == 0
    assert state(account)[0] == "free-trial"


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


@pytest.mark.fault("P25")
def test_a_refund_of_the_unused_months_of_a_year_takes_nothing_of_the_used_ones(
    subscribe: Callable[..., Purchase],
    stripe_api: Any,
    account: Account,
    spend: Callable[[Decimal], Any],
    advance: Callable[..., None],
    deliver: Callable[[], None],
) -> None:
    purchase = subscribe("year")
    spend(Decimal(400))
    advance(days=35)
    spend(Decimal(400))
    share = purchase.amount * 10 // 12
    stripe_api.refunds.create({"payment_intent": purchase.stripe_payment_id, "amount": share})
    deliver()
    # 10 of 12 months, rounded to cents in favour of the buyer: the second month stays paid
    assert debt(account) == 0
    assert MONTHLY - 400 - of_plan(account) < 1

    rest = purchase.amount - share
    stripe_api.refunds.create({"payment_intent": purchase.stripe_payment_id, "amount": rest})
    deliver()
    assert of_plan(account) == 0
    taken = sum(refund.credits for refund in Refund.objects.all())
    assert taken == 2 * 410 + 600, "spent in both months and unspent in the second; the rest has expired"
    assert state(account)[0] == "free-trial"


@pytest.mark.fault("P25")
def test_grants_after_a_partial_refund_of_a_year_are_taken_when_they_come(
    subscribe: Callable[..., Purchase],
    stripe_api: Any,
    account: Account,
    advance: Callable[..., None],
    deliver: Callable[[], None],
) -> None:
    purchase = subscribe("year")
    eleven = purchase.amount * 11 // 12
    stripe_api.refunds.create({"payment_intent": purchase.stripe_payment_id, "amount": eleven})
    deliver()
    assert MONTHLY - of_plan(account) < 1
    advance(days=40)
    plan_payments.apply_claims_to_new_grants(timezone.now())
    assert ledger.balance(account.pk, timezone.now()).total == 0
    plan_payments.apply_claims_to_new_grants(timezone.now())
    assert ledger.audit.run(now=timezone.now()).findings == []


@pytest.mark.fault("P25")
def test_a_dispute_of_an_earlier_period_takes_only_what_that_period_gave(
    subscribe: Callable[..., Purchase],
    account: Account,
    spend: Callable[[Decimal], Any],
    advance: Callable[..., None],
    bank: Callable[..., Any],
    deliver: Callable[[], None],
) -> None:
    change_policies(plan_dispute="past_due")
    purchase = subscribe()
    spend(Decimal(300))
    advance(days=31, hours=2)
    assert of_plan(account) == MONTHLY
    bank(purchase, "dispute")
    deliver()
    # 310 of the first month were spent; the debt is repaid by what comes in next
    assert debt(account) == 310
    assert of_plan(account) == MONTHLY
    assert state(account) == ("starter", "active"), "the running period is paid"


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


@pytest.mark.fault("P14", "P20", "P28")
def test_the_rewards_of_a_referral_follow_the_purchase_but_not_a_partial_refund(
    paid_purchase: Callable[..., Purchase],
    stripe_api: Any,
    account: Account,
    bob: User,
    bank: Callable[..., Any],
    deliver: Callable[[], None],
) -> None:
    purchase = paid_purchase()
    inviter = Account.objects.get(person=bob)
    now = timezone.now()
    referral = Referral.objects.create(
        inviter=inviter, invited=account, purchase=purchase, state="rewarded", created_at=now
    )
    for account_id in (inviter.pk, account.pk):
        ledger.grant(
            account_id=account_id,
            credits=Decimal(50),
            kind="referral",
            label="Reward",
            key=f"referral:{referral.pk.hex}",
            purchase_id=referral.pk,
            now=now,
        )

    def rewards() -> list[Decimal]:
        referrals.reward_all_due(timezone.now())
        return [subscriptions.of_kind(owner, "referral") for owner in (inviter, account)]

    stripe_api.refunds.create({"payment_intent": purchase.stripe_payment_id, "amount": purchase.amount // 2})
    deliver()
    assert rewards() == [50, 50]
    for action, left in (("dispute", 50), ("lose", 0), ("reverse", 50), ("reverse", 0), ("reverse", 50)):
        bank(purchase, action)
        deliver()
        assert rewards() == [left, left], action
