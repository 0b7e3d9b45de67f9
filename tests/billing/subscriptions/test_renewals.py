"""Renewals of a paid plan: Stripe bills each period, the clock moves, events arrive."""

from collections.abc import Callable
from typing import Any

import pytest
import time_machine
from django.utils import timezone

from accounts.models import Account, User
from billing.models import Mail, Purchase, Subscription
from billing.payments import customers
from billing.subscriptions import changes, previews
from tests.billing.subscriptions.conftest import bonus, buy_starter
from tests.sandbox.conftest import Buyer

pytestmark = pytest.mark.django_db


def test_a_downgrade_takes_effect_with_the_next_paid_period(
    starter: Subscription, account: Account, advance: Callable[..., None]
) -> None:
    advance(hours=1)

    def change(plan: str) -> None:
        preview = previews.preview(
            account, plan_key=plan, interval="month", currency="usd", now=timezone.now()
        )
        changes.confirm(account, preview.token, timezone.now())

    change("creator")
    change("starter")
    starter.refresh_from_db()
    assert (starter.plan, starter.next_plan) == ("creator", "starter")

    advance(days=31)

    starter.refresh_from_db()
    assert (starter.plan, starter.next_plan, starter.amount) == ("starter", "", 990)
    assert bonus(account) == 1000


@pytest.mark.requirement("FLICK-08", "RECR-02", "FLOW-03")
def test_each_paid_month_renews_the_credits_and_unspent_ones_expire(
    starter: Subscription, account: Account, advance: Callable[..., None]
) -> None:
    advance(hours=1)
    assert bonus(account) == 1000
    for number in (1, 2, 3):
        advance(days=31)
        assert bonus(account) == 1000, number
        starter.refresh_from_db()
        assert (starter.plan, starter.state) == ("starter", "active")
    paid = Purchase.objects.filter(kind="plan", status="paid")
    assert paid.count() == 4
    assert len({purchase.invoice_number for purchase in paid}) == 4
    assert Mail.objects.filter(template="receipt").count() == 4


@pytest.mark.requirement("RECR-02")
def test_a_yearly_plan_grants_its_credits_every_month(
    clock: time_machine.Traveller,
    stripe_api: Any,
    account: Account,
    alice: User,
    advance: Callable[..., None],
) -> None:
    buy_starter(account, alice, "year")
    for days in (1, 30, 31, 31):
        advance(days=days)
        assert bonus(account) == 1000
    assert Purchase.objects.filter(status="paid").count() == 1


def test_an_unpaid_renewal_stops_the_credits_until_it_is_paid(
    starter: Subscription, account: Account, advance: Callable[..., None], stripe_api: Any
) -> None:
    advance(hours=1)
    customer = customers.ensure_customer(account)
    failing = stripe_api.payment_methods.attach("pm_card_chargeCustomerFail", {"customer": customer})
    stripe_api.customers.update(customer, {"invoice_settings": {"default_payment_method": failing.id}})
    stripe_api.subscriptions.update(starter.stripe_subscription_id, {"default_payment_method": failing.id})

    advance(days=31)

    starter.refresh_from_db()
    assert starter.state == Subscription.State.PAST_DUE
    assert bonus(account) == 0
    assert starter.recovery_url
    assert Mail.objects.filter(template="payment_overdue").count() == 1

    Buyer().pay(starter.recovery_url)
    advance(minutes=5)

    starter.refresh_from_db()
    assert (starter.state, starter.recovery_url) == ("active", "")
    assert bonus(account) == 1000


def test_a_cancelled_plan_ends_with_the_paid_period(
    starter: Subscription, account: Account, advance: Callable[..., None]
) -> None:
    advance(hours=1)
    changes.cancel(account, timezone.now())
    advance(days=20)
    assert bonus(account) == 1000

    advance(days=12)

    starter.refresh_from_db()
    assert (starter.plan, starter.paid) == ("free-trial", False)
    assert bonus(account) == 0
