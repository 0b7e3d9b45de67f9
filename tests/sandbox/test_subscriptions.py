"""Plans at Stripe: begun in the checkout, renewed on a test clock, failed, ended."""

from typing import Any

import pytest
import stripe

from tests.sandbox.moving_time import DAY, NOVEMBER, advance, instant


def test_the_checkout_begins_a_subscription(
    v1: Any, checkout: Any, buyer: Any, price: Any, event_types: Any
) -> None:
    session = checkout(
        mode="subscription",
        line_items=[{"price": price().id, "quantity": 1}],
        subscription_data={"metadata": {"account": "acct_1"}},
    )
    buyer.open(session.url)
    assert "per month" in buyer.text
    buyer.pay(session.url)
    assert buyer.led_to.startswith("http://shop.example/done")
    done = v1.checkout.sessions.retrieve(
        session.id, {"expand": ["subscription.latest_invoice.payments", "invoice"]}
    )
    subscription, invoice = done.subscription, done.subscription.latest_invoice
    assert (subscription.status, subscription.metadata.account) == ("active", "acct_1")
    assert done.payment_intent is None
    assert (invoice.status, invoice.amount_paid, invoice.billing_reason) == (
        "paid",
        2000,
        "subscription_create",
    )
    assert invoice.parent.subscription_details.subscription == subscription.id
    assert invoice.parent.subscription_details.metadata.account == "acct_1"
    assert v1.payment_intents.retrieve(invoice.payments.data[0].payment.payment_intent).status == "succeeded"
    item = subscription["items"].data[0]
    assert item.current_period_end > item.current_period_start
    told = event_types()
    assert (
        told.index("customer.subscription.created")
        < told.index("invoice.paid")
        < told.index("checkout.session.completed")
    )


def test_a_declined_card_begins_nothing(v1: Any, checkout: Any, buyer: Any, price: Any) -> None:
    session = checkout(mode="subscription", line_items=[{"price": price().id, "quantity": 1}])
    buyer.pay(session.url, "4000 0000 0000 0002")
    assert v1.subscriptions.list({"status": "all"}).data == []


def test_it_renews_on_its_anchor_day_and_is_paid(v1: Any, begin: Any) -> None:
    subscription = begin(at=instant(2027, 1, 31))
    for month, day in ((2, 28), (3, 31), (4, 30)):
        renewed = advance(v1, subscription, instant(2027, month, day, 1))
        assert renewed["items"].data[0].current_period_start == instant(2027, month, day)
        assert (renewed.latest_invoice.status, renewed.latest_invoice.billing_reason) == (
            "paid",
            "subscription_cycle",
        )
    assert len(v1.invoices.list({"subscription": subscription.id}).data) == 4


def test_several_periods_pass_in_one_advance(v1: Any, begin: Any) -> None:
    subscription = begin()
    advance(v1, subscription, instant(2027, 3, 2))
    invoices = v1.invoices.list({"subscription": subscription.id}).data
    begun = [(2027, 3), (2027, 2), (2027, 1), (2026, 12), (2026, 11)]
    assert [invoice.created for invoice in invoices] == [instant(year, month, 1, 12) for year, month in begun]
    assert {invoice.status for invoice in invoices} == {"paid"}


def test_a_failing_card_is_tried_again_and_then_the_subscription_ends(
    v1: Any, begin: Any, event_types: Any
) -> None:
    subscription = begin("chargeCustomerFail", payment_behavior="default_incomplete")
    intent = (
        v1.invoices.retrieve(subscription.latest_invoice, {"expand": ["payments"]})
        .payments.data[0]
        .payment.payment_intent
    )
    card = v1.customers.retrieve(subscription.customer).invoice_settings.default_payment_method
    v1.payment_intents.confirm(intent, {"payment_method": card})
    assert v1.subscriptions.retrieve(subscription.id).status == "active"
    late = advance(v1, subscription, instant(2026, 12, 1, 13))
    assert (late.status, late.latest_invoice.status, late.latest_invoice.attempt_count) == (
        "past_due",
        "open",
        1,
    )
    assert late.latest_invoice.next_payment_attempt == instant(2026, 12, 4, 12)
    assert advance(v1, subscription, instant(2026, 12, 5)).latest_invoice.attempt_count == 2
    ended = advance(v1, subscription, instant(2026, 12, 20))
    assert (ended.status, ended.cancellation_details.reason) == ("canceled", "payment_failed")
    assert event_types().count("invoice.payment_failed") == 4


def test_a_late_invoice_is_paid_on_its_page_with_another_card(v1: Any, begin: Any, buyer: Any) -> None:
    subscription = begin()
    v1.payment_methods.attach("pm_card_chargeCustomerFail", {"customer": subscription.customer})
    bad = v1.customers.payment_methods.list(subscription.customer).data[0].id
    v1.customers.update(subscription.customer, {"invoice_settings": {"default_payment_method": bad}})
    late = advance(v1, subscription, instant(2026, 12, 1, 13))
    assert late.status == "past_due"
    buyer.pay(late.latest_invoice.hosted_invoice_url, "4000 0000 0000 0002")
    assert "Your card was declined." in buyer.text
    buyer.pay(late.latest_invoice.hosted_invoice_url)
    paid = v1.subscriptions.retrieve(subscription.id, {"expand": ["latest_invoice"]})
    assert (paid.status, paid.latest_invoice.status) == ("active", "paid")


def test_cancelling_takes_effect_at_the_periods_end_and_can_be_taken_back(v1: Any, begin: Any) -> None:
    subscription = begin()
    asked = v1.subscriptions.update(subscription.id, {"cancel_at_period_end": True})
    assert asked.cancel_at == asked["items"].data[0].current_period_end
    assert v1.subscriptions.update(subscription.id, {"cancel_at_period_end": False}).cancel_at is None
    v1.subscriptions.update(subscription.id, {"cancel_at_period_end": True})
    assert advance(v1, subscription, instant(2026, 11, 30)).status == "active"
    ended = advance(v1, subscription, instant(2026, 12, 2))
    assert (ended.status, ended.ended_at) == ("canceled", instant(2026, 12, 1, 12))
    assert len(v1.invoices.list({"subscription": subscription.id}).data) == 1


def test_cancelling_now_ends_it(v1: Any, begin: Any, event_types: Any) -> None:
    subscription = begin()
    assert v1.subscriptions.cancel(subscription.id).status == "canceled"
    assert event_types(subscription.id)[-1] == "customer.subscription.deleted"
    with pytest.raises(stripe.InvalidRequestError):
        v1.subscriptions.cancel(subscription.id)


def test_a_trial_is_billed_when_it_ends(v1: Any, begin: Any) -> None:
    subscription = begin(trial_period_days=7)
    assert subscription.status == "trialing"
    billed = advance(v1, subscription, NOVEMBER + 8 * DAY)
    assert (billed.status, billed.latest_invoice.amount_paid) == ("active", 2000)
    assert billed["items"].data[0].current_period_start == NOVEMBER + 7 * DAY


def test_a_lasting_coupon_lowers_every_invoice(v1: Any, begin: Any) -> None:
    coupon = v1.coupons.create({"percent_off": 50, "duration": "forever"})
    subscription = begin(discounts=[{"coupon": coupon.id}], expand=["latest_invoice"])
    assert subscription.latest_invoice.amount_paid == 1000
    assert advance(v1, subscription, instant(2026, 12, 2)).latest_invoice.amount_paid == 1000


def test_the_portal_changes_card_and_plan(v1: Any, begin: Any, buyer: Any) -> None:
    subscription = begin()
    portal = v1.billing_portal.sessions.create(
        {"customer": subscription.customer, "return_url": "http://shop.example/plan"}
    )
    buyer.open(portal.url)
    assert "http://shop.example/plan" in buyer.text
    buyer.submit(f"{portal.url}/act", action="cancel", target=subscription.id)
    assert v1.subscriptions.retrieve(subscription.id).cancel_at_period_end
    buyer.open(f"{portal.url}/card")
    card = {"method": "card", "number": "5555 5555 5555 4444", "expiry": "1/30", "cvc": "123"}
    buyer.submit(f"{portal.url}/card", **card)
    owner = v1.customers.retrieve(
        subscription.customer, {"expand": ["invoice_settings.default_payment_method"]}
    )
    assert owner.invoice_settings.default_payment_method.card.last4 == "4444"
    stranger = begin()
    buyer.open(portal.url)
    assert buyer.submit(f"{portal.url}/act", action="cancel", target=stranger.id).status_code == 404


def test_deleting_a_customer_ends_the_subscription(v1: Any, begin: Any) -> None:
    subscription = begin()
    assert v1.customers.delete(subscription.customer).deleted
    assert v1.subscriptions.retrieve(subscription.id).status == "canceled"
