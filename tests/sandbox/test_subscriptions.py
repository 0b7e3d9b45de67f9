"""Subscriptions: created in the checkout, renewed on a test clock, unpaid, cancelled."""

from typing import Any

import pytest
import stripe

from sandbox import store
from tests.sandbox.clock_time import advance, instant


def test_a_checkout_creates_a_subscription(
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
    assert buyer.redirect.startswith("http://shop.example/done")
    done = v1.checkout.sessions.retrieve(session.id, {"expand": ["subscription.latest_invoice.payments"]})
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
    types = event_types()
    assert (
        types.index("customer.subscription.created")
        < types.index("invoice.paid")
        < types.index("checkout.session.completed")
    )


def test_a_declined_card_creates_no_subscription(checkout: Any, buyer: Any, price: Any) -> None:
    session = checkout(mode="subscription", line_items=[{"price": price().id, "quantity": 1}])
    buyer.pay(session.url, "4000 0000 0000 0002")
    assert store.where("subscription") == []


def test_a_subscription_renews_on_its_anchor_day(v1: Any, begin: Any) -> None:
    subscription = begin(at=instant(2027, 1, 31))
    for month, day in ((2, 28), (3, 31), (4, 30)):
        renewed = advance(v1, subscription, instant(2027, month, day, 1))
        assert renewed["items"].data[0].current_period_start == instant(2027, month, day)
        assert (renewed.latest_invoice.status, renewed.latest_invoice.billing_reason) == (
            "paid",
            "subscription_cycle",
        )
    assert len(store.where("invoice")) == 4


def test_a_renewal_invoice_is_a_draft_for_an_hour_while_the_subscription_is_active(
    v1: Any, begin: Any, event_types: Any
) -> None:
    subscription = begin()
    draft = advance(v1, subscription, instant(2026, 12, 1, 12, 59))
    assert (draft.status, draft.latest_invoice.status) == ("active", "draft")
    assert draft.latest_invoice.automatically_finalizes_at == instant(2026, 12, 1, 13)
    assert draft["items"].data[0].current_period_start == instant(2026, 12, 1, 12)
    assert event_types(draft.latest_invoice.id) == ["invoice.created"]

    paid = advance(v1, subscription, instant(2026, 12, 1, 13)).latest_invoice
    assert (paid.status, paid.automatically_finalizes_at) == ("paid", None)
    types = event_types(paid.id)
    assert types == ["invoice.created", "invoice.finalized", "invoice.paid", "invoice.payment_succeeded"]


def test_the_draft_of_a_subscription_that_was_cancelled_is_not_charged(v1: Any, begin: Any) -> None:
    subscription = begin()
    draft = advance(v1, subscription, instant(2026, 12, 1, 12, 30)).latest_invoice
    v1.subscriptions.cancel(subscription.id)
    advance(v1, subscription, instant(2026, 12, 2))
    left = v1.invoices.retrieve(draft.id)
    assert (left.status, left.auto_advance, left.automatically_finalizes_at) == ("draft", False, None)


def test_the_status_follows_the_invoice_that_was_finalized_last(v1: Any, begin: Any, price: Any) -> None:
    subscription = begin()
    advance(v1, subscription, instant(2026, 12, 1, 12, 10))
    upgrade = {
        "items": [{"id": subscription["items"].data[0].id, "price": price(6000).id}],
        "billing_cycle_anchor": {"type": "now"},
        "proration_behavior": "always_invoice",
    }
    v1.subscriptions.update(subscription.id, upgrade)
    make_card_fail(v1, subscription)
    late = advance(v1, subscription, instant(2026, 12, 1, 13))
    assert (late.status, late.latest_invoice.status) == ("past_due", "paid")
    open_invoices = v1.invoices.list({"subscription": subscription.id, "status": "open"}).data
    assert [invoice.billing_reason for invoice in open_invoices] == ["subscription_cycle"]
    voided = v1.invoices.void_invoice(open_invoices[0].id, {"expand": ["payments"]})
    assert (voided.status, voided.payments.data[0].status) == ("void", "canceled")


def test_one_advance_renews_several_periods(v1: Any, begin: Any) -> None:
    subscription = begin()
    advance(v1, subscription, instant(2027, 3, 2))
    invoices = store.where("invoice")
    months = [(2027, 3), (2027, 2), (2027, 1), (2026, 12), (2026, 11)]
    assert [invoice["created"] for invoice in invoices] == [
        instant(year, month, 1, 12) for year, month in months
    ]
    assert {invoice["status"] for invoice in invoices} == {"paid"}


def make_card_fail(v1: Any, subscription: Any) -> None:
    """Replace the customer's default card by one that is declined off-session."""
    card = v1.payment_methods.attach("pm_card_chargeCustomerFail", {"customer": subscription.customer})
    v1.customers.update(subscription.customer, {"invoice_settings": {"default_payment_method": card.id}})


def test_a_failing_card_is_retried_and_then_the_subscription_ends(
    v1: Any, begin: Any, event_types: Any
) -> None:
    subscription = begin()
    make_card_fail(v1, subscription)
    late = advance(v1, subscription, instant(2026, 12, 1, 13))
    assert (late.status, late.latest_invoice.status, late.latest_invoice.attempt_count) == (
        "past_due",
        "open",
        1,
    )
    assert late.latest_invoice.next_payment_attempt == instant(2026, 12, 4, 13)
    assert advance(v1, subscription, instant(2026, 12, 5)).latest_invoice.attempt_count == 2
    ended = advance(v1, subscription, instant(2026, 12, 20))
    assert (ended.status, ended.cancellation_details.reason) == ("canceled", "payment_failed")
    assert event_types().count("invoice.payment_failed") == 4


def test_an_overdue_invoice_is_paid_on_its_page_with_another_card(v1: Any, begin: Any, buyer: Any) -> None:
    subscription = begin()
    make_card_fail(v1, subscription)
    late = advance(v1, subscription, instant(2026, 12, 1, 13))
    assert late.status == "past_due"
    buyer.pay(late.latest_invoice.hosted_invoice_url, "4000 0000 0000 0002")
    assert "Your card was declined." in buyer.text
    buyer.pay(late.latest_invoice.hosted_invoice_url)
    paid = v1.subscriptions.retrieve(subscription.id, {"expand": ["latest_invoice"]})
    assert (paid.status, paid.latest_invoice.status) == ("active", "paid")


def test_a_cancellation_takes_effect_at_the_end_of_the_period_and_can_be_revoked(v1: Any, begin: Any) -> None:
    subscription = begin()
    cancelled = v1.subscriptions.update(subscription.id, {"cancel_at_period_end": True})
    assert cancelled.cancel_at == cancelled["items"].data[0].current_period_end
    assert v1.subscriptions.update(subscription.id, {"cancel_at_period_end": False}).cancel_at is None
    v1.subscriptions.update(subscription.id, {"cancel_at_period_end": True})
    assert advance(v1, subscription, instant(2026, 11, 30)).status == "active"
    ended = advance(v1, subscription, instant(2026, 12, 2))
    assert (ended.status, ended.ended_at) == ("canceled", instant(2026, 12, 1, 12))
    assert len(store.where("invoice")) == 1


def test_a_subscription_can_be_cancelled_at_once(v1: Any, begin: Any, event_types: Any) -> None:
    subscription = begin()
    assert v1.subscriptions.cancel(subscription.id).status == "canceled"
    assert event_types(subscription.id)[-1] == "customer.subscription.deleted"
    with pytest.raises(stripe.InvalidRequestError):
        v1.subscriptions.cancel(subscription.id)


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
