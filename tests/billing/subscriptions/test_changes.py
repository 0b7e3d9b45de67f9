"""Upgrades, downgrades, cancellations and their confirmation."""

from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Account
from billing.models import Purchase, Subscription
from billing.purchases import create
from billing.subscriptions import changes, previews
from tests.billing.subscriptions.conftest import change_plan, of_kind

pytestmark = pytest.mark.django_db


def test_a_downgrade_waits_for_the_end_of_the_period(
    subscribe: Callable[..., Subscription], account: Account, process_all_events: Callable[[], Any]
) -> None:
    subscribe("creator")

    after = change_plan(account, "starter")
    process_all_events()

    after.refresh_from_db()
    assert (after.plan, after.next_plan, after.next_amount) == ("creator", "starter", 990)
    assert of_kind(account, "bonus") == 3000


def test_a_stale_confirmation_is_refused(subscribe: Callable[..., Subscription], account: Account) -> None:
    subscribe("starter")
    now = timezone.now()
    preview = previews.preview(account, plan_key="creator", interval="month", currency="usd", now=now)
    change_plan(account, "studio")

    with pytest.raises(previews.ConfirmationStale):
        changes.confirm(account, preview.token, now)
    with pytest.raises(previews.ConfirmationStale):
        changes.confirm(account, preview.token[:-2], now)
    assert Subscription.objects.get(account=account).plan == "studio"


def test_a_second_subscription_is_refused(subscribe: Callable[..., Subscription]) -> None:
    subscribe("starter")

    with pytest.raises(create.AlreadySubscribed):
        subscribe("creator")


@pytest.mark.fault("P15")
def test_repeated_changes_within_a_period_grant_no_second_allowance(
    subscribe: Callable[..., Subscription], account: Account
) -> None:
    subscribe("creator")
    assert change_plan(account, "starter").next_plan == "starter"
    assert change_plan(account, "creator").next_plan == ""
    change_plan(account, "studio")
    change_plan(account, "creator")
    change_plan(account, "studio")

    assert Subscription.objects.get(account=account).plan == "studio"
    assert of_kind(account, "bonus") == 10_000


@pytest.mark.requirement("RECR-03", "RECR-08")
def test_a_cancellation_can_be_resumed_or_ends_on_the_free_plan_with_bought_credits_kept(
    subscribe: Callable[..., Subscription],
    paid_purchase: Callable[..., Purchase],
    account: Account,
    stripe_api: Any,
    process_all_events: Callable[[], Any],
) -> None:
    subscription = subscribe("starter")
    bought = paid_purchase()
    assert changes.cancel(account, timezone.now()).cancel_at_period_end
    assert not changes.resume(account, timezone.now()).cancel_at_period_end
    changes.cancel(account, timezone.now())

    stripe_api.subscriptions.cancel(subscription.stripe_subscription_id)
    process_all_events()

    after = Subscription.objects.get(account=account)
    assert (after.plan, after.stripe_subscription_id) == ("free-trial", None)
    assert of_kind(account, "bonus") == 0
    assert of_kind(account, "top_up") == bought.credits
    assert of_kind(account, "daily") <= 200


@pytest.mark.requirement("FLICK-09")
def test_an_upgrade_is_paid_at_once_and_carries_over_unspent_credits(
    subscribe: Callable[..., Subscription], account: Account
) -> None:
    subscribe("starter")
    now = timezone.now()
    preview = previews.preview(account, plan_key="creator", interval="month", currency="usd", now=now)
    assert preview.kind == "upgrade"
    assert 0 < preview.due_now <= 1990

    after = changes.confirm(account, preview.token, now)

    assert (after.plan, after.amount) == ("creator", 1990)
    # at once all of the old plan is unused: its price and its credits are deducted from the new plan's
    assert [(grant.label, grant.credits) for grant in preview.new_grants] == [
        ("Monthly bonus", 3000 - 1000),
        ("Daily refresh", 500),
    ]
    assert of_kind(account, "bonus") == 3000
    assert of_kind(account, "daily") == 500
    bought = Purchase.objects.filter(origin="renewal").get()
    assert (bought.status, bought.amount) == ("paid", preview.due_now)


def test_without_an_interval_a_first_plan_is_previewed_by_the_month(
    stripe_api: Any, account: Account
) -> None:
    preview = previews.preview(account, plan_key="starter", interval="", currency="usd", now=timezone.now())
    assert (preview.interval, preview.due_now) == ("month", 990)
