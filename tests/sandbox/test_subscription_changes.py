"""Changes of a subscription's price: prorations, previews, declined payments."""

from typing import Any

import pytest
import stripe

from sandbox import store
from tests.sandbox.clock_time import DAY, NOVEMBER, advance, instant


def test_an_upgrade_is_billed_as_previewed(v1: Any, begin: Any, price: Any) -> None:
    subscription = begin()
    halfway = NOVEMBER + 15 * DAY
    advance(v1, subscription, halfway)
    change = [{"id": subscription["items"].data[0].id, "price": price(6000, name="Team").id}]
    preview = v1.invoices.create_preview(
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
    assert [line.amount for line in preview.lines.data] == [-1000, 3000]
    assert [line.parent.subscription_item_details.proration for line in preview.lines.data] == [True, True]
    assert preview.amount_due == 2000
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


def test_a_downgrade_without_proration_is_billed_at_the_renewal(v1: Any, begin: Any, price: Any) -> None:
    subscription = begin()
    change = [{"id": subscription["items"].data[0].id, "price": price(500).id}]
    v1.subscriptions.update(subscription.id, {"items": change, "proration_behavior": "none"})
    assert len(store.where("invoice")) == 1
    assert advance(v1, subscription, instant(2026, 12, 2)).latest_invoice.amount_paid == 500


def test_a_change_of_interval_starts_a_new_billing_cycle(v1: Any, begin: Any, price: Any) -> None:
    subscription = begin()
    advance(v1, subscription, NOVEMBER + 15 * DAY)
    change = [{"id": subscription["items"].data[0].id, "price": price(20000, "year").id}]
    yearly = v1.subscriptions.update(
        subscription.id,
        {"items": change, "proration_behavior": "always_invoice", "expand": ["latest_invoice"]},
    )
    assert yearly.latest_invoice.amount_paid == 20000 - 1000
    assert yearly["items"].data[0].current_period_end == instant(2027, 11, 16, 12)


def test_an_upgrade_with_error_if_incomplete_changes_nothing_when_declined(
    v1: Any, begin: Any, price: Any
) -> None:
    subscription = begin()
    card = v1.payment_methods.attach("pm_card_chargeCustomerFail", {"customer": subscription.customer})
    v1.subscriptions.update(subscription.id, {"default_payment_method": card.id})
    params = {
        "items": [{"id": subscription["items"].data[0].id, "price": price(6000).id}],
        "proration_behavior": "always_invoice",
        "payment_behavior": "error_if_incomplete",
    }
    with pytest.raises(stripe.CardError):
        v1.subscriptions.update(subscription.id, params)
    unchanged = v1.subscriptions.retrieve(subscription.id)
    assert unchanged["items"].data[0].price.unit_amount == 2000
    assert len(store.where("invoice")) == 1


def test_unsupported_changes_are_refused(v1: Any, begin: Any, price: Any) -> None:
    subscription = begin()
    change = [{"id": subscription["items"].data[0].id, "price": price(6000).id}]
    for params in (
        {"items": change},  # prorations that wait for the next invoice
        {"items": [{"price": price(500).id}], "proration_behavior": "none"},
    ):
        with pytest.raises(stripe.InvalidRequestError) as refused:
            v1.subscriptions.update(subscription.id, params)
        assert refused.value.code == "sandbox_gap"
    assert v1.subscriptions.retrieve(subscription.id)["items"].data[0].price.unit_amount == 2000


def test_a_billing_cycle_anchor_of_now_starts_a_new_billing_cycle(v1: Any, begin: Any, price: Any) -> None:
    subscription = begin()
    halfway = NOVEMBER + 15 * DAY
    advance(v1, subscription, halfway)
    upgraded = v1.subscriptions.update(
        subscription.id,
        {
            "items": [{"id": subscription["items"].data[0].id, "price": price(6000).id}],
            "billing_cycle_anchor": {"type": "now"},
            "proration_behavior": "always_invoice",
            "proration_date": halfway - DAY,
            "expand": ["latest_invoice"],
        },
    )
    credit = -2000 * 16 // 30
    assert [line.amount for line in upgraded.latest_invoice.lines.data] == [credit, 6000]
    assert upgraded.billing_cycle_anchor == upgraded["items"].data[0].current_period_start == halfway


@pytest.mark.parametrize(("mode", "credit"), [("classic", -500 // 2), ("flexible", -2000 // 2)])
def test_flexible_billing_credits_what_was_debited_and_classic_billing_the_current_price(
    v1: Any, begin: Any, price: Any, mode: str, credit: int
) -> None:
    subscription = begin(billing_mode={"type": mode})
    item = subscription["items"].data[0].id
    v1.subscriptions.update(
        subscription.id, {"items": [{"id": item, "price": price(500).id}], "proration_behavior": "none"}
    )
    advance(v1, subscription, NOVEMBER + 15 * DAY)
    change = {"items": [{"id": item, "price": price(6000).id}], "proration_behavior": "always_invoice"}
    preview = v1.invoices.create_preview({"subscription": subscription.id, "subscription_details": change})
    changed = v1.subscriptions.update(subscription.id, change | {"expand": ["latest_invoice"]})
    for invoice in (preview, changed.latest_invoice):
        assert [line.amount for line in invoice.lines.data] == [credit, 3000]


def test_flexible_billing_credits_each_debit_of_a_period_once(v1: Any, begin: Any, price: Any) -> None:
    subscription = begin()
    item = subscription["items"].data[0].id
    lines = []
    for day, amount in ((15, 6000), (24, 3000)):
        advance(v1, subscription, NOVEMBER + day * DAY)
        changed = v1.subscriptions.update(
            subscription.id,
            {
                "items": [{"id": item, "price": price(amount).id}],
                "proration_behavior": "always_invoice",
                "expand": ["latest_invoice"],
            },
        )
        lines.append([line.amount for line in changed.latest_invoice.lines.data])
    # 3,000 were debited for the last 15 days: 6 of them are credited, and nothing of the first 2,000 again
    assert lines == [[-1000, 3000], [-1200, 600]]


def test_a_classic_subscription_migrates_to_flexible_billing(v1: Any, begin: Any) -> None:
    subscription = begin(billing_mode={"type": "classic"})
    migrated = v1.subscriptions.migrate(subscription.id, {"billing_mode": {"type": "flexible"}})
    assert (subscription.billing_mode.type, migrated.billing_mode.type) == ("classic", "flexible")


def test_every_change_of_a_credit_balance_is_a_transaction(v1: Any, begin: Any, price: Any) -> None:
    subscription = begin()
    owner = subscription.customer
    balances = v1.customers.balance_transactions
    item = subscription["items"].data[0].id

    def change(**params: Any) -> None:
        v1.subscriptions.update(
            subscription.id,
            {
                "items": [{"id": item, "price": price(**params).id}],
                "billing_cycle_anchor": {"type": "now"},
                "proration_behavior": "always_invoice",
            },
        )

    change(amount=1500)  # 20.00 come back
    v1.customers.update(owner, {"balance": -1600})
    balances.create(owner, {"amount": 100, "currency": "usd", "metadata": {"note": "ours"}})
    change(amount=3020)  # 15.20 more, of which the balance pays 15.00; 0.20 are too small to charge
    listed = balances.list(owner).data
    assert [(item.type, item.amount, item.ending_balance) for item in listed] == [
        ("invoice_too_small", 20, 20),
        ("applied_to_invoice", 1500, 0),
        ("adjustment", 100, -1500),
        ("adjustment", -1100, -1600),
        ("applied_to_invoice", -500, -500),
    ]
    assert [item.metadata.to_dict() for item in listed] == [{}, {}, {"note": "ours"}, {}, {}]
    assert [bool(item.invoice) for item in listed] == [True, True, False, False, True]
    assert v1.customers.retrieve(owner).balance == 20
    for params in ({"amount": 0, "currency": "usd"}, {"amount": 5, "currency": "eur"}):
        with pytest.raises(stripe.InvalidRequestError):
            balances.create(owner, params)
