"""Changes of a subscription that wait for the payment of their invoice."""

from collections.abc import Callable
from typing import Any

import pytest
import stripe

from sandbox import store
from tests.sandbox import sdk_shapes
from tests.sandbox.clock_time import DAY, NOVEMBER, advance
from tests.sandbox.conftest import Buyer

PAYS, AUTHENTICATES = "visa", "authenticationRequired"


@pytest.fixture
def upgrade(v1: Any, price: Any) -> Callable[..., Any]:
    """Upgrade a subscription to 60 USD by a card, halfway through its month."""

    def update(subscription: Any, card: str, **more: Any) -> Any:
        method = v1.payment_methods.attach(f"pm_card_{card}", {"customer": subscription.customer})
        v1.subscriptions.update(subscription.id, {"default_payment_method": method.id})
        advance(v1, subscription, NOVEMBER + 15 * DAY)
        params = {
            "items": [{"id": subscription["items"].data[0].id, "price": price(6000).id}],
            "billing_cycle_anchor": {"type": "now"},
            "proration_behavior": "always_invoice",
            "payment_behavior": "pending_if_incomplete",
            "metadata": {"reason": "upgrade"},
            "cancel_at_period_end": False,
            "expand": ["latest_invoice"],
        }
        return v1.subscriptions.update(subscription.id, params | more)

    return update


def amount_of(subscription: Any) -> int:
    return int(subscription["items"].data[0].price.unit_amount)


def test_a_change_that_is_paid_at_once_is_not_pending(begin: Any, upgrade: Callable[..., Any]) -> None:
    changed = upgrade(begin(), PAYS)
    assert (changed.pending_update, amount_of(changed), changed.metadata["reason"]) == (None, 6000, "upgrade")
    assert changed.latest_invoice.amount_paid == 6000 - 1000


def test_a_change_applies_when_its_payment_is_authenticated(
    v1: Any, begin: Any, upgrade: Callable[..., Any], buyer: Buyer, event_types: Callable[..., list[str]]
) -> None:
    pending = upgrade(begin(), AUTHENTICATES)
    assert (pending.status, amount_of(pending), "reason" in pending.metadata) == ("active", 2000, False)
    assert pending.pending_update.expires_at == NOVEMBER + 15 * DAY + 23 * 3600
    assert pending.latest_invoice.status == "open"
    assert sdk_shapes.faults(v1.subscriptions.retrieve(pending.id).last_response.data) == []

    buyer.pay(pending.latest_invoice.hosted_invoice_url, "4000 0027 6000 3184")
    buyer.open(authentication := buyer.redirect)
    buyer.submit(authentication, decision="pass")

    changed = v1.subscriptions.retrieve(pending.id)
    assert (changed.pending_update, amount_of(changed), changed.metadata["reason"]) == (None, 6000, "upgrade")
    assert changed["items"].data[0].current_period_start == NOVEMBER + 15 * DAY
    assert event_types(pending.id)[-1] == "customer.subscription.pending_update_applied"


@pytest.mark.parametrize("card", [AUTHENTICATES, "chargeCustomerFail"])
def test_a_change_that_is_not_paid_within_23_hours_is_discarded(
    v1: Any, begin: Any, upgrade: Callable[..., Any], event_types: Callable[..., list[str]], card: str
) -> None:
    pending = upgrade(begin(), card)
    changed = advance(v1, pending, NOVEMBER + 16 * DAY)
    assert (changed.pending_update, amount_of(changed)) == (None, 2000)
    assert changed.latest_invoice.status == "void"
    assert event_types(pending.id)[-1] == "customer.subscription.pending_update_expired"


@pytest.mark.parametrize("way", ["void", "replace", "cancel"])
def test_voiding_the_invoice_or_another_change_discards_a_pending_one(
    v1: Any, begin: Any, upgrade: Callable[..., Any], price: Any, way: str
) -> None:
    pending = upgrade(begin(), AUTHENTICATES)
    if way == "void":
        v1.invoices.void_invoice(pending.latest_invoice.id)
    elif way == "cancel":
        v1.subscriptions.update(pending.id, {"cancel_at_period_end": True})
    else:
        change = [{"id": pending["items"].data[0].id, "price": price(500).id}]
        v1.subscriptions.update(pending.id, {"items": change, "proration_behavior": "none"})

    changed = v1.subscriptions.retrieve(pending.id)
    assert (changed.pending_update, amount_of(changed)) == (None, 500 if way == "replace" else 2000)
    assert store.get("invoice", pending.latest_invoice.id)["status"] == "void"


def test_parameters_that_pending_updates_do_not_support_are_refused(
    v1: Any, begin: Any, upgrade: Callable[..., Any]
) -> None:
    subscription = begin()
    card = v1.payment_methods.attach("pm_card_visa", {"customer": subscription.customer})
    with pytest.raises(stripe.InvalidRequestError, match="default_payment_method"):
        upgrade(subscription, PAYS, default_payment_method=card.id)
