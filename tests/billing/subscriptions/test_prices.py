"""Prices at Stripe: archived, missing after a restored backup, made or changed in Stripe's dashboard."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import Account, User
from billing import stripe_gateway
from billing.models import Purchase, StripeEvent, StripePrice, Subscription
from billing.subscriptions import prices
from billing.webhooks import reconciliation
from tests.billing.webhooks.delivery import deliver

pytestmark = pytest.mark.django_db
FIGURES: dict[str, Any] = {"plan_key": "starter", "interval": "month", "currency": "usd", "amount": 1990}


def test_an_archived_price_is_replaced_for_new_subscribers(stripe_api: Any, catalogue: None) -> None:
    archived = prices.ensure_price(**FIGURES)
    stripe_api.prices.update(archived, {"active": False})

    replaced = prices.ensure_price(**FIGURES)

    assert replaced != archived
    assert prices.ensure_price(**FIGURES) == replaced
    known = prices.find_price(archived)
    assert known is not None and not known.offered  # its subscribers keep it


def test_an_imported_price_that_names_no_plan_is_used_until_it_is_archived(
    stripe_api: Any, catalogue: None
) -> None:
    terms = {"currency": "usd", "unit_amount": 1990, "recurring": {"interval": "month"}}
    made = stripe_api.prices.create(terms | {"product_data": {"name": "Starter"}}).id
    imported = stripe_gateway.retrieve_price(made)
    assert imported is not None
    prices.record_imported(imported, "starter")

    assert [prices.ensure_price(**FIGURES) for _again in range(2)] == [made, made]

    known = StripePrice.objects.get()
    assert (known.offered, known.stripe_account) == (True, stripe_gateway.current_account())
    stripe_api.prices.update(made, {"active": False})
    assert prices.ensure_price(**FIGURES) != made


def test_an_archived_price_is_not_offered_by_the_sandbox(stripe_api: Any, account: Account) -> None:
    archived = prices.ensure_price(**FIGURES)
    stripe_api.prices.update(archived, {"active": False})
    customer = stripe_api.customers.create({}).id

    with pytest.raises(Exception, match="The price specified is inactive"):
        stripe_api.subscriptions.create({"customer": customer, "items": [{"price": archived}]})


def test_each_stripe_account_has_prices_of_its_own(stripe_api: Any, catalogue: None, settings: Any) -> None:
    first = prices.ensure_price(**FIGURES)
    settings.STRIPE_SECRET_KEY = "sk_live_sandbox"

    second = prices.ensure_price(**FIGURES)

    assert second != first
    settings.STRIPE_SECRET_KEY = "sk_test_sandbox"
    assert prices.ensure_price(**FIGURES) == first
    offered = StripePrice.objects.filter(offered=True).values_list("stripe_price_id", flat=True)
    assert set(offered) == {first, second}, "each stays the offered one of its account"


def test_each_tax_behavior_has_a_price_of_its_own(stripe_api: Any, catalogue: None) -> None:
    made = [prices.ensure_price(**FIGURES, tax_behavior=each) for each in ("", "inclusive", "exclusive")]
    assert len(set(made)) == 3
    stated = [stripe_api.prices.retrieve(each).tax_behavior for each in made]
    assert stated == ["unspecified", "inclusive", "exclusive"]


@pytest.mark.parametrize("interval", ["month", "year"])
def test_after_a_restored_backup_a_subscriber_is_recognised_by_the_price(
    subscribe: Callable[..., Subscription], events: Callable[..., Any], account: Account, interval: str
) -> None:
    before = subscribe("starter", interval)
    StripePrice.objects.all().delete()
    Purchase.objects.all().delete()
    Subscription.objects.update(plan="free-trial", stripe_subscription_id=None, paid_until=None, version=1)

    for event in events():
        assert deliver(event).status_code == 200

    after = Subscription.objects.get(account=account)
    assert (after.plan, after.amount, after.interval, after.paid_until) == (
        "starter",
        before.amount,
        interval,
        before.paid_until,
    )
    assert not StripeEvent.objects.filter(state__in=["quarantined", "failed"]).exists()
    price = StripePrice.objects.get(offered=False)
    assert (price.plan_key, price.amount, price.interval) == ("starter", before.amount, interval)


def new_price(stripe_api: Any, **more: Any) -> str:
    price = {"currency": "usd", "unit_amount": 1500, "recurring": {"interval": "month"}}
    return str(stripe_api.prices.create({**price, **more}).id)


def move_to(stripe_api: Any, subscription: Subscription, price: str) -> None:
    """Staff move the subscription to another price in Stripe's dashboard."""
    stripe_api.subscriptions.update(
        subscription.stripe_subscription_id,
        {
            "items": [{"id": subscription.stripe_item_id, "price": price}],
            "proration_behavior": "none",
            "cancel_at_period_end": False,
        },
    )


def test_a_price_that_staff_add_to_the_plans_product_is_matched_to_the_plan(
    stripe_api: Any, subscribe: Callable[..., Subscription], events: Callable[..., Any], account: Account
) -> None:
    subscription = subscribe("starter")
    product = stripe_api.prices.retrieve(StripePrice.objects.get().stripe_price_id).product
    move_to(stripe_api, subscription, new_price(stripe_api, product=product))

    for event in events():
        deliver(event)

    moved = Subscription.objects.get(account=account)
    assert (moved.plan, moved.amount) == ("starter", 1500)
    assert not StripeEvent.objects.filter(state="quarantined").exists()


def test_staff_choose_the_plan_of_an_unknown_price_and_its_events_are_applied(
    stripe_api: Any,
    subscribe: Callable[..., Subscription],
    events: Callable[..., Any],
    account: Account,
    staff: User,
    signed_in: Callable[[User], Client],
) -> None:
    subscription = subscribe("starter")
    unknown = new_price(stripe_api, product_data={"name": "Special offer"})
    move_to(stripe_api, subscription, unknown)
    for event in events():
        deliver(event)
    assert Subscription.objects.get(account=account).amount == subscription.amount
    assert StripeEvent.objects.filter(state="quarantined").exists()
    price = StripePrice.objects.get(plan_key="")
    assert (price.stripe_price_id, price.amount, price.offered) == (unknown, 1500, False)

    client = signed_in(staff)
    page = client.post(f"/admin/billing/stripeprice/{price.pk}/plan/", {"plan": "starter"}, follow=True)

    assert "Plan saved." in page.text
    assert Subscription.objects.get(account=account).amount == 1500
    assert not StripeEvent.objects.filter(state="quarantined").exists()
    listed = client.get("/admin/billing/stripeprice/").text
    assert "$15.00" in listed and unknown in listed
    again = client.get(f"/admin/billing/stripeprice/{price.pk}/plan/", follow=True).text
    assert "already pays the plan starter" in again


def test_the_reconciliation_records_an_unknown_price_too(
    stripe_api: Any, subscribe: Callable[..., Subscription]
) -> None:
    subscription = subscribe("starter")
    move_to(stripe_api, subscription, new_price(stripe_api, product_data={"name": "Special offer"}))
    Subscription.objects.update(period_end=timezone.now())
    StripeEvent.objects.all().delete()

    reconciliation.run(timezone.now())

    assert StripePrice.objects.filter(plan_key="").count() == 1
