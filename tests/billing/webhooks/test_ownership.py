"""Objects of other software on the same Stripe account are ignored; ours are matched or quarantined."""

from collections.abc import Callable
from typing import Any

import pytest
from structlog.testing import capture_logs

from accounts.models import Account
from billing import tasks
from billing.models import BillingProfile, Purchase, Reconciliation, StripeEvent, Subscription
from billing.payments import customers
from billing.subscriptions import prices
from tests.billing.webhooks.delivery import deliver
from tests.sandbox.conftest import Buyer

pytestmark = pytest.mark.django_db


def subscribe(stripe_api: Any, customer: str, price: str, **params: Any) -> Any:
    stripe_api.payment_methods.attach("pm_card_visa", {"customer": customer})
    card = stripe_api.payment_methods.list({"customer": customer}).data[0].id
    return stripe_api.subscriptions.create(
        {"customer": customer, "items": [{"price": price}], "default_payment_method": card, **params}
    )


def price_of_other_software(stripe_api: Any) -> str:
    price = {"currency": "usd", "unit_amount": 900, "recurring": {"interval": "month"}}
    return str(stripe_api.prices.create({**price, "product_data": {"name": "Newsletter"}}).id)


@pytest.fixture
def other_software(stripe_api: Any) -> None:
    """A subscription, with its invoice and payment, and a paid Checkout session of other software."""
    metadata = {"account": "4711", "purchase": "order-5", "user_id": "5"}
    customer = stripe_api.customers.create({"email": "someone@example.com", "metadata": metadata}).id
    subscribe(stripe_api, customer, price_of_other_software(stripe_api), metadata=metadata)
    subscribe(stripe_api, customer, price_of_other_software(stripe_api))
    item = {"currency": "usd", "unit_amount": 1200, "product_data": {"name": "T-shirt"}}
    session = stripe_api.checkout.sessions.create(
        {
            "mode": "payment",
            "customer": customer,
            "client_reference_id": "cart-77",
            "line_items": [{"price_data": item, "quantity": 1}],
            "success_url": "https://example.com/",
            "metadata": metadata,
        }
    )
    Buyer().pay(session.url)
    stripe_api.refunds.create({"payment_intent": stripe_api.payment_intents.list({"limit": 1}).data[0].id})


def test_events_of_other_software_are_ignored_without_an_alert(
    other_software: None, events: Callable[..., Any]
) -> None:
    with capture_logs() as logs:
        assert {deliver(event).status_code for event in events()} == {200}

    assert set(StripeEvent.objects.values_list("state", flat=True)) == {StripeEvent.State.IGNORED}
    assert [log for log in logs if log.get("alert")] == []


def test_the_reconciliation_neither_reports_nor_counts_payments_of_other_software(
    other_software: None,
) -> None:
    with capture_logs() as logs:
        tasks.reconcile()

    report = Reconciliation.objects.get()
    assert (report.findings, report.totals) == ([], {})
    assert [log for log in logs if log.get("alert")] == []


def test_a_subscription_that_staff_made_at_stripe_for_a_known_customer_and_price_is_applied(
    stripe_api: Any, account: Account, events: Callable[..., Any]
) -> None:
    price = prices.ensure_price(plan_key="starter", interval="month", currency="usd", amount=1990)
    made = subscribe(stripe_api, customers.ensure_customer(account), price)

    for event in events():
        deliver(event)

    subscription = Subscription.objects.get(account=account)
    assert (subscription.plan, subscription.stripe_subscription_id) == ("starter", made.id)
    assert Purchase.objects.get(account=account).status == Purchase.Status.PAID


def test_other_software_may_subscribe_one_of_our_customers(
    stripe_api: Any, account: Account, events: Callable[..., Any]
) -> None:
    subscribe(stripe_api, customers.ensure_customer(account), price_of_other_software(stripe_api))

    states = {deliver(event).content for event in events()}

    assert b"quarantined" not in states and b"failed" not in states
    assert not Subscription.objects.get(account=account).paid


def test_a_subscription_that_names_an_unknown_account_of_ours_is_quarantined(
    stripe_api: Any, account: Account, events: Callable[..., Any]
) -> None:
    price = prices.ensure_price(plan_key="starter", interval="month", currency="usd", amount=1990)
    customer = customers.ensure_customer(account)
    BillingProfile.objects.update(stripe_customer_id=None)
    lost = Account(name="an account that a restored backup does not have")
    subscribe(stripe_api, customer, price, metadata={"account": lost.public_id})

    [event] = events("customer.subscription.created")

    assert deliver(event).content == b"quarantined"
