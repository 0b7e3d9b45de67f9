"""The developer dashboard, and the system check of the sandbox."""

from typing import Any

import pytest
from django.test import Client

from sandbox import checks, store, switches
from sandbox.switches import Fault


def test_every_page_opens(
    v1: Any, client: Client, checkout: Any, buyer: Any, customer: Any, price: Any, charges: Any
) -> None:
    session = checkout()
    buyer.pay(session.url, "4000 0000 0000 0259")
    owner = customer()
    v1.subscriptions.create({"customer": owner.id, "items": [{"price": price().id}]})
    event = v1.events.list().data[0]
    charge = charges()[0]
    [invoice] = store.where("invoice")
    for path in (
        "/sandbox/",
        "/sandbox/objects/",
        "/sandbox/objects/?kind=charge",
        f"/sandbox/objects/{charge['id']}",
        "/sandbox/events/",
        f"/sandbox/events/?about={charge['id']}",
        f"/sandbox/events/{event.id}",
        "/sandbox/mail/",
        f"/sandbox/receipt/{charge['id']}",
        f"/sandbox/transfer/{charge['payment_intent']}",
        f"/sandbox/invoice/{invoice['id']}",
    ):
        response = client.get(path)
        assert response.status_code == 200, path
        assert "sk_test" not in response.content.decode()
    for path in (
        "/sandbox/objects/ch_none",
        "/sandbox/checkout/cs_none",
        "/sandbox/portal/bps_none",
        "/sandbox/invoice/in_none",
    ):
        assert client.get(path).status_code == 404


def test_a_charge_is_disputed_and_the_dispute_is_won(v1: Any, client: Client) -> None:
    intent = v1.payment_intents.create(
        {"amount": 900, "currency": "usd", "payment_method": "pm_card_visa", "confirm": True}
    )
    client.post(f"/sandbox/objects/{intent.latest_charge}/act", {"action": "dispute"})
    dispute = v1.disputes.list().data[0]
    client.post(f"/sandbox/objects/{dispute.id}/act", {"action": "win"})
    assert v1.disputes.retrieve(dispute.id).status == "won"


def test_a_refund_is_made_to_fail(v1: Any, client: Client) -> None:
    intent = v1.payment_intents.create(
        {"amount": 900, "currency": "usd", "payment_method": "pm_card_visa", "confirm": True}
    )
    refund = v1.refunds.create({"payment_intent": intent.id})
    client.post(f"/sandbox/objects/{refund.id}/act", {"action": "fail", "back": "https://evil.example/"})
    assert v1.refunds.retrieve(refund.id).status == "failed"


def test_a_subscription_without_a_clock_is_renewed(
    v1: Any, client: Client, customer: Any, price: Any
) -> None:
    owner = customer()
    created = v1.subscriptions.create({"customer": owner.id, "items": [{"price": price().id}]})
    client.post(f"/sandbox/objects/{created.id}/act", {"action": "renew", "back": "/sandbox/"})
    renewed = v1.subscriptions.retrieve(created.id)
    assert renewed["items"].data[0].current_period_start == created["items"].data[0].current_period_end
    assert len(store.where("invoice")) == 2


def test_switches_are_set_on_the_page(db: None, client: Client) -> None:
    client.post("/sandbox/switches", {"fault": "events_lost", "remaining": "2"})
    assert [bool(switches.occurs(Fault.EVENTS_LOST)) for _ in range(3)] == [True, True, False]
    client.post("/sandbox/switches", {"fault": "down", "remaining": "-1"})
    client.post("/sandbox/switches", {"fault": "all_off"})
    assert switches.occurs(Fault.DOWN) is None


def test_forms_need_a_csrf_token(db: None) -> None:
    assert (
        Client(enforce_csrf_checks=True)
        .post("/sandbox/switches", {"fault": "down", "remaining": "-1"})
        .status_code
        == 403
    )


@pytest.mark.fault("O4")
@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"STRIPE_SECRET_KEY": "sk_live_x"}, "sandbox.E001"),
        ({"STRIPE_PUBLISHABLE_KEY": "pk_live_x"}, "sandbox.E001"),
        ({"PRODUCTION": True}, "sandbox.E002"),
        ({"STRIPE_API_BASE": "https://api.stripe.com"}, "sandbox.E003"),
    ],
)
def test_the_process_does_not_start_beside_real_payments(
    settings: Any, changed: dict[str, Any], error: str
) -> None:
    assert checks.sandbox_is_isolated(None) == []
    for name, value in changed.items():
        setattr(settings, name, value)
    assert [found.id for found in checks.sandbox_is_isolated(None)] == [error]
