"""What a preview says is what arrives: money, balance at Stripe and credits, over random changes of plan."""

from collections.abc import Callable
from decimal import Decimal
from random import Random
from typing import Any

import pytest
import time_machine
from django.db.models import Sum
from django.utils import timezone

from accounts.models import Account, User
from billing import ledger
from billing.models import Entry, Purchase, Subscription
from billing.purchases import checkout, create
from billing.subscriptions import changes, plan_terms, previews
from core.errors import Refusal
from pricing.models import Plan
from sandbox import store
from tests.billing.subscriptions.conftest import set_credit
from tests.billing.subscriptions.test_proration import spend
from tests.sandbox.conftest import Buyer

pytestmark = [pytest.mark.django_db, pytest.mark.fault("P22")]

PLANS, INTERVALS = ("starter", "creator", "studio"), ("month", "year")


@pytest.mark.parametrize("seed", range(3))
def test_what_a_preview_says_is_what_arrives(
    stripe_api: Any,
    account: Account,
    alice: User,
    clock: time_machine.Traveller,
    advance: Callable[..., None],
    seed: int,
) -> None:
    random = Random(seed)
    Plan.objects.filter(key="studio").update(carry_over=random.random() < 0.5)
    plan, interval, currency = (random.choice(choices) for choices in (PLANS, INTERVALS, ("usd", "eur")))
    subscription = buy(account, alice, plan, interval, currency)
    set_mode(subscription, random.choice(["classic", "flexible"]))
    for _step in range(6):
        advance(seconds=random.choice([1, 3600, 86400, random.randrange(40 * 86400)]))
        if random.random() < 0.3:
            set_credit(str(subscription.stripe_subscription_id), random.choice([-5000, -970, -1, 0, 20, 700]))
        if random.random() < 0.7:
            spend_some(account, random)
        try_change(account, random.choice(PLANS), random.choice(INTERVALS), clock, random)


def buy(account: Account, alice: User, plan: str, interval: str, currency: str) -> Subscription:
    purchase = create.plan_purchase(
        account=account,
        buyer=alice,
        origin="page",
        plan_key=plan,
        interval=interval,
        currency=currency,
        confirm=False,
        key="plan",
        now=timezone.now(),
    )
    Buyer().pay(checkout.open_page(purchase, timezone.now()))
    checkout.refresh_from_stripe(purchase, timezone.now())
    return Subscription.objects.get(account=account)


def set_mode(subscription: Subscription, mode: str) -> None:
    body = store.get("subscription", str(subscription.stripe_subscription_id))
    store.save(body | {"billing_mode": {"flexible": None, "type": mode}})


def spend_some(account: Account, random: Random) -> None:
    left = int(ledger.balance(account.pk, timezone.now()).available)
    if left > 1:
        spend(account, random.choice([1, left // 2, left]) or 1)


def try_change(
    account: Account, plan: str, interval: str, clock: time_machine.Traveller, random: Random
) -> None:
    """Preview a change and confirm it some seconds later; compare everything with the preview."""
    now = timezone.now()
    try:
        preview = previews.preview(account, plan_key=plan, interval=interval, currency="usd", now=now)
    except Refusal as refused:
        assert refused.code == "already_on_plan"
        return
    paid, credits = total_paid(account), total_granted(account)
    clock.shift(random.choice([0, 0, 59]))
    plan_terms.forget_all()
    renewed = total_granted(account) - credits
    changed = changes.confirm(account, preview.token, timezone.now())
    assert total_paid(account) - paid == preview.due_now
    arrived = sum((grant.credits for grant in preview.new_grants), Decimal(0))
    assert total_granted(account) - credits - renewed == arrived, preview
    if preview.amounts:
        assert balance_at_stripe(changed) == preview.amounts.balance_after
        assert (changed.plan, changed.interval, changed.amount) == (plan, interval, preview.amount)
        assert changed.paid_until == changed.period_end


def total_paid(account: Account) -> int:
    paid = Purchase.objects.filter(account=account, status="paid").aggregate(paid=Sum("amount"))["paid"]
    return int(paid or 0)


def total_granted(account: Account) -> Decimal:
    ledger.balance(account.pk, timezone.now())
    granted = Entry.objects.filter(account=account, kind="grant").aggregate(sum=Sum("credits"))["sum"]
    return Decimal(granted or 0)


def balance_at_stripe(subscription: Subscription) -> int:
    remote = store.get("subscription", str(subscription.stripe_subscription_id))
    return int(store.get("customer", remote["customer"])["balance"])
