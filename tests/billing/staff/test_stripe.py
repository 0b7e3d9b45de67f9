"""Staff retry Stripe events and compare Stripe's records with ours in the admin."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from billing.models import Purchase, Reconciliation, StripeEvent
from billing.webhooks import reconciliation

pytestmark = pytest.mark.django_db


def test_staff_retry_an_event(
    staff_client: Client,
    new_purchase: Callable[..., Purchase],
    pay: Callable[..., Any],
    events: Callable[..., Any],
) -> None:
    from billing.webhooks import events as stripe_events

    pay(new_purchase())
    [event] = events("checkout.session.completed")
    stored = stripe_events.store(event, timezone.now(), source="webhook")
    StripeEvent.objects.update(state="quarantined", error="a bug of yesterday")

    staff_client.post("/admin/billing/stripeevent/", {"action": "retry", "_selected_action": [stored.pk]})

    assert StripeEvent.objects.get().state == "done"
    assert Purchase.objects.get().status == "paid"


@pytest.mark.fault("P7")
def test_reconciliation_applies_missed_events_and_shows_both_totals(
    staff_client: Client,
    new_purchase: Callable[..., Purchase],
    pay: Callable[..., Any],
    stripe_api: Any,
    balance: Callable[[], Any],
) -> None:
    before = balance()
    purchase = new_purchase()
    pay(purchase)
    stripe_api.payment_intents.list({})

    report = reconciliation.run(timezone.now())
    assert report is not None and report.events > 0
    purchase.refresh_from_db()
    assert purchase.status == "paid"
    assert balance() == before + purchase.credits
    assert report.totals["usd"]["stripe_paid"] == report.totals["usd"]["our_paid"] == purchase.amount
    assert report.findings == []
    stripe_api.refunds.create({"payment_intent": purchase.stripe_payment_id, "amount": 100})
    second = reconciliation.run(timezone.now())
    assert second is not None
    assert second.totals["usd"]["stripe_refunded"] == second.totals["usd"]["our_refunded"] == 100
    last = reconciliation.run(timezone.now())
    assert last is not None and (last.events, last.mended) == (0, 0)

    assert "$5.00" in staff_client.get("/admin/billing/reconciliation/compare/").content.decode()
    asked = staff_client.get("/admin/billing/reconciliation/run/").content.decode()
    assert "Compare with Stripe now?" in asked and Reconciliation.objects.count() == 3
    assert staff_client.post("/admin/billing/reconciliation/run/", follow=True).status_code == 200
    assert Reconciliation.objects.count() == 4
