"""Claims to a part of what was paid for plans: partial refunds, a year's months, an earlier period."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Account, User
from billing import ledger
from billing.models import Purchase, Referral, Refund
from billing.promotions import referrals
from billing.refunds import plan_payments
from tests.billing.conftest import change_policies
from tests.billing.refunds.conftest import MONTHLY, debt, of_plan, state
from tests.billing.subscriptions import conftest as subscriptions

pytestmark = pytest.mark.django_db
clock, advance = subscriptions.clock, subscriptions.advance


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
