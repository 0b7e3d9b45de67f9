"""Upgrades, downgrades, cancellations and their confirmation."""

from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Account
from billing import stripe_gateway
from billing.models import Mail, Purchase, Subscription
from billing.purchases import create
from billing.subscriptions import changes, previews, prices, stripe_sync
from tests.billing.subscriptions.conftest import change_plan, of_kind

pytestmark = pytest.mark.django_db


def test_a_downgrade_waits_for_the_end_of_the_period_and_withdraws_a_cancellation(
    subscribe: Callable[..., Subscription], account: Account, process_all_events: Callable[[], Any]
) -> None:
    subscribe("creator")
    assert changes.cancel(account, timezone.now()).cancel_at_period_end

    after = change_plan(account, "starter")
    process_all_events()

    after.refresh_from_db()
    assert (after.plan, after.next_plan, after.next_amount) == ("creator", "starter", 990)
    assert not after.cancel_at_period_end
    assert of_kind(account, "bonus") == 3000


@pytest.mark.parametrize(("plan", "interval"), [("studio", "month"), ("creator", "year")])
def test_an_immediate_change_withdraws_a_cancellation(
    subscribe: Callable[..., Subscription],
    account: Account,
    process_all_events: Callable[[], Any],
    plan: str,
    interval: str,
) -> None:
    subscribe("creator")
    changes.cancel(account, timezone.now())

    after = change_plan(account, plan, interval)
    process_all_events()

    after.refresh_from_db()
    assert (after.plan, after.interval, after.cancel_at_period_end) == (plan, interval, False)


def test_a_scheduled_change_and_a_cancellation_are_confirmed_by_one_e_mail_each(
    subscribe: Callable[..., Subscription], account: Account, process_all_events: Callable[[], Any]
) -> None:
    subscription = subscribe("creator")

    def queued() -> list[tuple[str, str]]:
        process_all_events()
        stripe_sync.synchronize(str(subscription.stripe_subscription_id), timezone.now())
        mails = Mail.objects.filter(template__startswith="plan_").order_by("pk")
        return [(mail.template, mail.context["next_plan"]) for mail in mails]

    change_plan(account, "starter")
    assert queued() == [("plan_change", "Starter")]
    changes.resume(account, timezone.now())
    changes.cancel(account, timezone.now())
    assert queued() == [("plan_change", "Starter"), ("plan_cancelled", "")]
    changes.resume(account, timezone.now())
    changes.cancel(account, timezone.now())
    assert len(queued()) == 3, "it was cancelled a second time"


@pytest.mark.parametrize("wanted", ["creator", "free-trial"])
def test_a_stale_confirmation_is_refused(
    subscribe: Callable[..., Subscription], account: Account, wanted: str
) -> None:
    subscribe("starter")
    now = timezone.now()
    preview = previews.preview(account, plan_key=wanted, interval="month", currency="usd", now=now)
    change_plan(account, "studio")

    with pytest.raises(previews.ConfirmationStale):
        changes.confirm(account, preview.token, now)
    with pytest.raises(previews.ConfirmationStale):
        changes.confirm(account, preview.token[:-2], now)
    after = Subscription.objects.get(account=account)
    assert (after.plan, after.cancel_at_period_end) == ("studio", False)


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
    assert not after.cancel_at_period_end, "the free plan does not end"
    assert of_kind(account, "bonus") == 0
    assert of_kind(account, "top_up") == bought.credits
    assert of_kind(account, "daily") <= 200


def test_the_reason_of_a_cancellation_is_kept_until_the_plan_is_resumed(
    subscribe: Callable[..., Subscription],
    account: Account,
    stripe_api: Any,
    process_all_events: Callable[[], Any],
) -> None:
    subscription = subscribe("starter")
    changes.cancel(account, timezone.now(), feedback="unused", comment="Twice a year")
    reason = ("cancel_feedback", "cancel_comment")
    assert Subscription.objects.values_list(*reason).get(account=account) == ("unused", "Twice a year")

    changes.resume(account, timezone.now())
    assert Subscription.objects.values_list(*reason).get(account=account) == ("", "")

    details = {"feedback": "other", "comment": "Not cancelled"}
    stripe_api.subscriptions.update(subscription.stripe_subscription_id, {"cancellation_details": details})
    process_all_events()
    assert Subscription.objects.values_list(*reason).get(account=account) == ("", "")


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


@pytest.mark.fault("P23")
def test_a_downgrade_waits_although_an_event_is_processed_before_its_request_reaches_stripe(
    subscribe: Callable[..., Subscription], account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    subscription = subscribe("creator")
    update = stripe_gateway.update_subscription

    def update_after_an_event(**arguments: Any) -> Any:
        stripe_sync.synchronize(str(subscription.stripe_subscription_id), timezone.now())
        return update(**arguments)

    monkeypatch.setattr(stripe_gateway, "update_subscription", update_after_an_event)
    change_plan(account, "starter")
    change_plan(account, "creator")
    after = change_plan(account, "starter")

    assert (after.plan, after.amount, after.next_plan, after.next_amount) == ("creator", 1990, "starter", 990)
    assert of_kind(account, "bonus") == 3000


@pytest.mark.fault("P23")
def test_downgrades_to_a_to_b_and_to_a_again_leave_our_plan_and_stripes_the_same(
    subscribe: Callable[..., Subscription], account: Account, process_all_events: Callable[[], Any]
) -> None:
    subscription = subscribe("studio")
    for plan in ("starter", "creator", "starter", "creator", "studio", "creator", "starter"):
        after = change_plan(account, plan)
        remote = stripe_gateway.retrieve_subscription(str(subscription.stripe_subscription_id))
        billed = prices.find_price(remote["items"]["data"][0]["price"]["id"])
        assert billed is not None
        assert (after.plan, after.next_plan or "studio") == ("studio", billed.plan_key)
    process_all_events()

    after.refresh_from_db()
    assert (after.plan, after.next_plan) == ("studio", "starter")


def test_a_downgrade_during_an_outage_is_not_shown_as_accepted(
    subscribe: Callable[..., Subscription], account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    subscribe("creator")

    def unreachable(**_arguments: Any) -> Any:
        raise stripe_gateway.StripeUnavailable

    monkeypatch.setattr(stripe_gateway, "update_subscription", unreachable)
    with pytest.raises(stripe_gateway.StripeUnavailable):
        change_plan(account, "starter")

    assert Subscription.objects.get(account=account).next_plan == ""


def test_of_two_confirmations_of_the_same_version_the_second_is_refused(
    subscribe: Callable[..., Subscription], account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    subscribe("starter")
    now = timezone.now()
    first, second = (
        previews.preview(account, plan_key=plan, interval="month", currency="usd", now=now)
        for plan in ("creator", "studio")
    )
    update = stripe_gateway.update_subscription

    def update_beside_another(**arguments: Any) -> Any:
        monkeypatch.setattr(stripe_gateway, "update_subscription", update)
        with pytest.raises(previews.ConfirmationStale):
            changes.confirm(account, second.token, now)
        return update(**arguments)

    monkeypatch.setattr(stripe_gateway, "update_subscription", update_beside_another)

    assert changes.confirm(account, first.token, now).plan == "creator"


def test_the_same_click_after_a_lost_connection_repeats_the_same_request(
    subscribe: Callable[..., Subscription], account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    subscribe("starter")
    now = timezone.now()
    preview = previews.preview(account, plan_key="creator", interval="month", currency="usd", now=now)
    update, keys = stripe_gateway.update_subscription, []

    def lose_the_first_response(**arguments: Any) -> Any:
        keys.append(arguments["key"])
        payload = update(**arguments)
        if len(keys) == 1:
            raise stripe_gateway.StripeUnavailable
        return payload

    monkeypatch.setattr(stripe_gateway, "update_subscription", lose_the_first_response)
    with pytest.raises(stripe_gateway.StripeUnavailable):
        changes.confirm(account, preview.token, now)

    assert changes.confirm(account, preview.token, now).plan == "creator"
    assert keys[0] == keys[1]
    assert Purchase.objects.filter(account=account, offer="creator", status="paid").count() == 1
