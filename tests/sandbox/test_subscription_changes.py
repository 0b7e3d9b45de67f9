"""Changes of plans: prorations as previewed, schedules, changes that must be paid first."""

from typing import Any

import pytest
import stripe

from tests.sandbox.moving_time import DAY, NOVEMBER, advance, instant


def test_an_upgrade_is_billed_at_once_as_its_preview_said(v1: Any, begin: Any, price: Any) -> None:
    subscription = begin()
    halfway = NOVEMBER + 15 * DAY
    advance(v1, subscription, halfway)
    change = [{"id": subscription["items"].data[0].id, "price": price(6000, name="Team").id}]
    told = v1.invoices.create_preview(
        {
            "customer": subscription.customer,
            "subscription": subscription.id,
            "subscription_details": {
                "items": change,
                "proration_behavior": "always_invoice",
                "proration_date": halfway,
            },
        }
    )
    assert [line.amount for line in told.lines.data] == [-1000, 3000]
    assert [line.parent.subscription_item_details.proration for line in told.lines.data] == [True, True]
    assert told.amount_due == 2000
    changed = v1.subscriptions.update(
        subscription.id,
        {
            "items": change,
            "proration_behavior": "always_invoice",
            "proration_date": halfway,
            "expand": ["latest_invoice"],
        },
    )
    assert (changed.latest_invoice.amount_paid, changed.latest_invoice.billing_reason) == (
        2000,
        "subscription_update",
    )
    assert changed["items"].data[0].price.unit_amount == 6000
    assert advance(v1, subscription, instant(2026, 12, 2)).latest_invoice.amount_paid == 6000


def test_prorations_can_wait_for_the_next_invoice(v1: Any, begin: Any, price: Any) -> None:
    subscription = begin()
    advance(v1, subscription, NOVEMBER + 15 * DAY)
    change = [{"id": subscription["items"].data[0].id, "price": price(6000).id}]
    v1.subscriptions.update(subscription.id, {"items": change, "proration_behavior": "create_prorations"})
    assert len(v1.invoices.list({"subscription": subscription.id}).data) == 1
    assert advance(v1, subscription, instant(2026, 12, 2)).latest_invoice.amount_paid == 6000 + 3000 - 1000


def test_a_downgrade_without_proration_shows_at_the_renewal(v1: Any, begin: Any, price: Any) -> None:
    subscription = begin()
    change = [{"id": subscription["items"].data[0].id, "price": price(500).id}]
    v1.subscriptions.update(subscription.id, {"items": change, "proration_behavior": "none"})
    assert len(v1.invoices.list({"subscription": subscription.id}).data) == 1
    assert advance(v1, subscription, instant(2026, 12, 2)).latest_invoice.amount_paid == 500


def test_a_schedule_changes_the_price_at_the_periods_end(v1: Any, begin: Any, price: Any) -> None:
    subscription = begin()
    item = subscription["items"].data[0]
    schedule = v1.subscription_schedules.create({"from_subscription": subscription.id})
    first = {
        "items": [{"price": item.price.id, "quantity": 1}],
        "start_date": item.current_period_start,
        "end_date": item.current_period_end,
    }
    then = {"items": [{"price": price(500, name="Small").id, "quantity": 1}]}
    v1.subscription_schedules.update(schedule.id, {"phases": [first, then], "end_behavior": "release"})
    assert v1.subscriptions.retrieve(subscription.id)["items"].data[0].price.unit_amount == 2000
    renewed = advance(v1, subscription, instant(2026, 12, 2))
    assert (renewed["items"].data[0].price.unit_amount, renewed.latest_invoice.amount_paid) == (500, 500)
    assert v1.subscription_schedules.retrieve(schedule.id).status == "released"
    assert renewed.schedule is None


def test_another_interval_begins_a_new_cycle_now(v1: Any, begin: Any, price: Any) -> None:
    subscription = begin()
    advance(v1, subscription, NOVEMBER + 15 * DAY)
    change = [{"id": subscription["items"].data[0].id, "price": price(20000, "year").id}]
    yearly = v1.subscriptions.update(
        subscription.id,
        {"items": change, "proration_behavior": "always_invoice", "expand": ["latest_invoice"]},
    )
    assert yearly.latest_invoice.amount_paid == 20000 - 1000
    assert yearly["items"].data[0].current_period_end == instant(2027, 11, 16, 12)


def test_an_upgrade_that_must_be_paid_first_waits_for_its_payment(
    v1: Any, begin: Any, price: Any, buyer: Any
) -> None:
    subscription = begin()
    bad = v1.payment_methods.attach("pm_card_chargeCustomerFail", {"customer": subscription.customer}).id
    v1.subscriptions.update(subscription.id, {"default_payment_method": bad})
    change = [{"id": subscription["items"].data[0].id, "price": price(6000).id}]
    order = {"items": change, "proration_behavior": "always_invoice"}
    with pytest.raises(stripe.CardError):
        v1.subscriptions.update(subscription.id, order | {"payment_behavior": "error_if_incomplete"})
    assert len(v1.invoices.list({"subscription": subscription.id}).data) == 1
    waits = v1.subscriptions.update(
        subscription.id, order | {"payment_behavior": "pending_if_incomplete", "expand": ["latest_invoice"]}
    )
    assert waits["items"].data[0].price.unit_amount == 2000
    assert waits.pending_update.subscription_items[0].price.unit_amount == 6000
    assert waits.status == "active"
    buyer.pay(waits.latest_invoice.hosted_invoice_url)
    applied = v1.subscriptions.retrieve(subscription.id)
    assert (applied["items"].data[0].price.unit_amount, applied.pending_update) == (6000, None)


def test_a_waiting_upgrade_is_forgotten_after_a_day(v1: Any, begin: Any, price: Any) -> None:
    subscription = begin()
    bad = v1.payment_methods.attach("pm_card_chargeCustomerFail", {"customer": subscription.customer}).id
    v1.subscriptions.update(subscription.id, {"default_payment_method": bad})
    change = [{"id": subscription["items"].data[0].id, "price": price(6000).id}]
    v1.subscriptions.update(
        subscription.id,
        {
            "items": change,
            "proration_behavior": "always_invoice",
            "payment_behavior": "pending_if_incomplete",
        },
    )
    after = advance(v1, subscription, NOVEMBER + 2 * DAY)
    assert (after.pending_update, after["items"].data[0].price.unit_amount) == (None, 2000)
    assert after.latest_invoice.status == "void"


def test_a_schedule_can_be_released_before_anything_happens(v1: Any, begin: Any, price: Any) -> None:
    subscription = begin()
    schedule = v1.subscription_schedules.create({"from_subscription": subscription.id})
    item = subscription["items"].data[0]
    first = {"items": [{"price": item.price.id}], "end_date": item.current_period_end}
    v1.subscription_schedules.update(schedule.id, {"phases": [first, {"items": [{"price": price(500).id}]}]})
    assert v1.subscription_schedules.release(schedule.id).released_subscription == subscription.id
    renewed = advance(v1, subscription, instant(2026, 12, 2))
    assert (renewed.schedule, renewed.latest_invoice.amount_paid) == (None, 2000)


def test_unused_time_of_a_subscription_cancelled_now_becomes_credit(v1: Any, begin: Any) -> None:
    subscription = begin()
    advance(v1, subscription, NOVEMBER + 15 * DAY)
    v1.subscriptions.cancel(subscription.id, {"prorate": True, "invoice_now": True})
    owner = v1.customers.retrieve(subscription.customer)
    assert owner.balance == -1000
    again = v1.subscriptions.create(
        {
            "customer": owner.id,
            "items": [{"price": subscription["items"].data[0].price.id}],
            "expand": ["latest_invoice"],
        }
    )
    assert (again.latest_invoice.total, again.latest_invoice.amount_paid) == (2000, 1000)
    assert v1.customers.retrieve(owner.id).balance == 0
