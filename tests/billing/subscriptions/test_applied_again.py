"""What a retrieved subscription changes, and what applying it once more leaves as it is."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Account
from billing import stripe_gateway
from billing.models import Mail, PlanChange, StripePrice, Subscription, SurplusSubscription
from billing.subscriptions import previews, prices, stripe_sync
from sandbox import store
from tests.billing.subscriptions.conftest import bonus, change_plan, of_kind

pytestmark = pytest.mark.django_db
START = datetime(2026, 10, 31, 12, tzinfo=UTC)
CHANGED = START + timedelta(days=15)
END = START + timedelta(days=30)


def second(at: datetime) -> int:
    return int(at.timestamp())


def test_a_subscription_that_has_not_changed_keeps_its_version(
    starter: Subscription, account: Account, advance: Callable[..., None]
) -> None:
    advance(days=1)
    change_plan(account, "creator")
    change_plan(account, "starter")
    starter.refresh_from_db()
    assert starter.next_plan == "starter"

    stripe_sync.synchronize(str(starter.stripe_subscription_id), timezone.now())

    version = starter.version
    starter.refresh_from_db()
    assert starter.version == version, "a confirmation of the same state stays valid"


@pytest.mark.parametrize("downgraded", [False, True])
def test_only_a_scheduled_downgrade_needs_flexible_billing(
    starter: Subscription, account: Account, downgraded: bool
) -> None:
    change_plan(account, "creator")
    if downgraded:
        change_plan(account, "starter")
    remote = store.get("subscription", str(starter.stripe_subscription_id))
    store.save(remote | {"billing_mode": {"flexible": None, "type": "classic"}})

    previews.preview(account, plan_key="studio", interval="month", currency="usd", now=timezone.now())

    mode = stripe_gateway.retrieve_subscription(str(starter.stripe_subscription_id))["billing_mode"]["type"]
    assert mode == ("flexible" if downgraded else "classic")


@pytest.mark.fault("P22")
@pytest.mark.parametrize(
    ("prorated_at", "deducted"),
    [
        (f"{second(START)}:{second(START)}", "1000"),
        (f"{second(START + timedelta(days=12))}:{second(START)}", "600"),
        (f"{second(CHANGED)}:{second(START)}", "500"),
        (f"{second(START + timedelta(days=24))}:{second(START)}", "200"),
        (f"{second(END) - 1}:{second(START)}", "0.01"),
        # not of the current period: from the start of the new one
        (f"{second(END)}:{second(START)}", "500"),
        (f"{second(END) + 1}:{second(START)}", "500"),
        (f"{second(START + timedelta(days=12))}:{second(START) - 1}", "500"),
        (f"{second(START + timedelta(days=12))}:{second(START) + 1}", "500"),
        ("", "500"),
        # written before the period was stored
        (f"{second(START)}", "1000"),
        (f"{second(START + timedelta(days=12))}", "600"),
        (f"{second(START) - 1}", "500"),
        (f"{second(START + timedelta(days=24))}", "500"),
    ],
)
def test_credits_are_deducted_from_the_confirmed_second_of_the_current_period(
    starter: Subscription, account: Account, clock: Any, prorated_at: str, deducted: str
) -> None:
    clock.move_to(CHANGED)
    price = prices.ensure_price(plan_key="creator", interval="month", currency="usd", amount=1990)
    payload = stripe_gateway.retrieve_subscription(str(starter.stripe_subscription_id))
    item = payload["items"]["data"][0] | {"price": {"id": price}}
    item |= {"current_period_start": second(CHANGED), "current_period_end": second(CHANGED) + 30 * 86400}
    metadata = payload["metadata"] | {"prorated_at": prorated_at}

    stripe_sync.apply_snapshot(payload | {"items": {"data": [item]}, "metadata": metadata}, timezone.now())

    assert StripePrice.objects.get(stripe_price_id=price).plan_key == "creator"
    assert bonus(account) == 1000 + 3000 - Decimal(deducted)


def paid_second(account: Account, stripe_api: Any, plan: str = "creator") -> str:
    """Another subscription of the customer that is paid at Stripe: its id."""
    first = str(Subscription.objects.get(account=account).stripe_subscription_id)
    made = stripe_api.subscriptions.retrieve(first)
    price = prices.ensure_price(plan_key=plan, interval="month", currency="usd", amount=1990)
    params = {"customer": made.customer, "default_payment_method": made.default_payment_method}
    return str(stripe_api.subscriptions.create(params | {"items": [{"price": price}]}).id)


@pytest.mark.fault("P24")
def test_a_second_subscription_is_decided_only_with_the_first_as_it_is_at_stripe(
    starter: Subscription, account: Account, stripe_api: Any
) -> None:
    second = stripe_gateway.retrieve_subscription(paid_second(account, stripe_api))
    first = stripe_gateway.retrieve_subscription(str(starter.stripe_subscription_id))

    for in_force in (None, {"id": "sub_other", "status": "canceled"}, {"status": "canceled"}):
        with pytest.raises(stripe_sync.StaleSnapshot):
            stripe_sync.apply_snapshot(second, timezone.now(), in_force=in_force)
    assert not SurplusSubscription.objects.exists()
    assert Subscription.objects.get(account=account).plan == "starter"

    stripe_sync.apply_snapshot(second, timezone.now(), in_force=first | {"status": "past_due"})
    assert SurplusSubscription.objects.get().stripe_subscription_id == second["id"]
    stripe_sync.apply_snapshot(second, timezone.now(), in_force=first | {"status": "canceled"})
    assert Subscription.objects.get(account=account).plan == "starter", "decided once"


@pytest.mark.fault("P24")
@pytest.mark.parametrize("status", ["canceled", "incomplete_expired"])
def test_a_plan_after_one_that_ended_begins_without_its_credits(
    starter: Subscription, account: Account, stripe_api: Any, status: str
) -> None:
    second = stripe_gateway.retrieve_subscription(paid_second(account, stripe_api))
    first = stripe_gateway.retrieve_subscription(str(starter.stripe_subscription_id))

    stripe_sync.apply_snapshot(second, timezone.now(), in_force=first | {"status": status})

    moves = PlanChange.objects.filter(account=account).order_by("pk").values_list("left", "entered")
    assert list(moves)[-2:] == [("starter", "free-trial"), ("free-trial", "creator")]
    assert bonus(account) == 3000, "those of the first plan ended with it"
    assert Subscription.objects.get(account=account).stripe_subscription_id == second["id"]


def test_a_plan_bought_after_one_was_lost_at_stripe_is_granted_in_full(
    starter: Subscription, account: Account, stripe_api: Any, clock: Any
) -> None:
    second = paid_second(account, stripe_api)
    Subscription.objects.filter(account=account).update(stripe_subscription_id=None, stripe_item_id="")
    clock.shift(timedelta(days=10))
    payload = stripe_gateway.retrieve_subscription(second)
    item = payload["items"]["data"][0]
    item |= {"current_period_start": second_of_now(), "current_period_end": second_of_now() + 30 * 86400}

    stripe_sync.apply_snapshot(payload | {"items": {"data": [item]}}, timezone.now())

    assert of_kind(account, "bonus") == 1000 + 3000, "no price of the lost plan is credited"


def second_of_now() -> int:
    return second(timezone.now())


@pytest.mark.parametrize("status", ["incomplete", "incomplete_expired", "canceled"])
def test_a_subscription_that_is_not_paid_or_has_ended_changes_no_other(
    starter: Subscription, account: Account, stripe_api: Any, status: str
) -> None:
    second = stripe_gateway.retrieve_subscription(paid_second(account, stripe_api))
    stripe_sync.apply_snapshot(second | {"status": status}, timezone.now())
    after = Subscription.objects.get(account=account)
    assert (after.plan, after.version) == ("starter", starter.version)
    assert not SurplusSubscription.objects.exists()


@pytest.mark.parametrize(
    ("status", "invoice", "state", "url"),
    [
        ("past_due", {"status": "open", "hosted_invoice_url": "https://i"}, "past_due", "https://i"),
        ("unpaid", {"status": "uncollectible", "hosted_invoice_url": "https://i"}, "past_due", "https://i"),
        ("past_due", {"status": "open"}, "past_due", ""),
        ("paused", {"status": "open", "hosted_invoice_url": "https://i"}, "past_due", "https://i"),
        ("paused", {"status": "paid", "hosted_invoice_url": "https://i"}, "paused", ""),
    ],
)
def test_a_plan_stops_and_says_once_what_is_to_be_paid(
    starter: Subscription, account: Account, status: str, invoice: dict[str, str], state: str, url: str
) -> None:
    payload = stripe_gateway.retrieve_subscription(str(starter.stripe_subscription_id))
    payload |= {"status": status, "latest_invoice": {"id": "in_2"} | invoice}
    versions = []
    for _again in range(2):
        stripe_sync.apply_snapshot(payload, timezone.now())
        starter.refresh_from_db()
        versions.append(starter.version)
    assert (starter.state, starter.recovery_url) == (state, url)
    assert versions[0] == versions[1]
    mails = Mail.objects.filter(template="payment_overdue")
    assert [mail.context["url"] for mail in mails] == ([url] if state == "past_due" else [])

    moved = payload["latest_invoice"] | {"hosted_invoice_url": "https://new"}
    stripe_sync.apply_snapshot(payload | {"latest_invoice": moved}, timezone.now())
    starter.refresh_from_db()
    assert starter.recovery_url == ("https://new" if state == "past_due" else "")
    assert mails.all().count() == (1 if state == "past_due" else 0)
    listed = [
        {"status": "paid", "hosted_invoice_url": "-"},
        {"status": "open", "hosted_invoice_url": "https://l"},
    ]
    stripe_sync.apply_snapshot(payload, timezone.now(), invoices=listed)
    starter.refresh_from_db()
    assert starter.recovery_url == ("https://l" if state == "past_due" else "")
    assert mails.all().count() == (1 if state == "past_due" else 0)

    Subscription.objects.filter(pk=starter.pk).update(state="active")
    next_one = {"latest_invoice": {"id": "in_3"} | invoice}
    stripe_sync.apply_snapshot(payload | next_one, timezone.now())
    assert mails.all().count() == (2 if state == "past_due" else 0), "each overdue invoice is said once"
