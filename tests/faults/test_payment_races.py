"""Payments at the same moment, with real commits: a running server, threads, a database that goes away."""

import hashlib
import hmac
import json
import time
import urllib.error
import urllib.request
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from accounts.models import Account
from billing import ledger, stripe_gateway
from billing.models import AutoTopUp, Grant, Mail, Purchase, StripeEvent
from billing.notifications import emails
from billing.payments import cards
from billing.purchases import auto_top_up, checkout
from billing.webhooks import events as stripe_events
from tests.billing.conftest import smallest_pack
from tests.billing.test_money_races import account, at_once, order, sound
from tests.billing.test_webhook import SECRET, knock
from tests.integration.races.web import serving
from tests.sandbox.conftest import Buyer

__all__ = ["account"]
pytestmark = pytest.mark.django_db(transaction=True)


def completed_event() -> dict[str, Any]:
    events = stripe_gateway._client("", "").v1.events.list({"limit": 100}).data
    [found] = [stripe_gateway.to_plain(one) for one in events if one.type == "checkout.session.completed"]
    return found


def post(address: str, event: dict[str, Any]) -> int:
    """Knock at a running server; its answer's status."""
    payload, stamp = json.dumps(event).encode(), int(time.time())
    signed = hmac.new(SECRET.encode(), f"{stamp}.".encode() + payload, hashlib.sha256).hexdigest()
    headers = {"Content-Type": "application/json", "Stripe-Signature": f"t={stamp},v1={signed}"}
    request = urllib.request.Request(f"{address}/stripe/webhook/", payload, headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


@pytest.mark.fault("P1", "P2")
def test_twenty_deliveries_at_a_running_server_beside_the_return_page(account: Account) -> None:
    purchase = order(account)
    Buyer().pay(purchase.checkout_url)
    event = completed_event()
    with serving() as address:

        def news(number: int) -> Any:
            if number < 4:
                return checkout.refresh_from_stripe(
                    Purchase.objects.get(pk=purchase.pk), timezone.now()
                ).status
            return post(address, event)

        outcomes = at_once(24, news)

    assert sorted(map(str, outcomes)) == ["200"] * 20 + ["paid"] * 4
    assert Grant.objects.filter(purchase_id=purchase.pk).count() == 1
    assert (StripeEvent.objects.count(), Mail.objects.filter(template="receipt").count()) == (1, 1)
    assert sound()


@pytest.mark.fault("P3")
def test_the_database_goes_away_in_the_middle_of_crediting(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    purchase = order(account)
    Buyer().pay(purchase.checkout_url)
    event = completed_event()
    before = ledger.balance(account.pk, timezone.now()).total

    def cut(**_: Any) -> None:
        """The credits are granted, the transaction is not committed, and the server ends the connection."""
        assert Grant.objects.filter(purchase_id=purchase.pk).exists()
        with connection.cursor() as cursor:
            cursor.execute("select pg_terminate_backend(pg_backend_pid())")

    with monkeypatch.context() as patch:
        patch.setattr(emails, "queue", cut)
        assert knock(event).status_code == 500
    connection.close()
    assert not Grant.objects.filter(purchase_id=purchase.pk).exists()
    assert StripeEvent.objects.get().state in StripeEvent.WAITING
    assert StripeEvent.objects.get().processed_at is None

    assert stripe_events.process_waiting(timezone.now() + timedelta(minutes=1)) == 1

    assert StripeEvent.objects.get().state == StripeEvent.State.DONE
    assert ledger.balance(account.pk, timezone.now()).total == before + purchase.credits
    assert knock(event).status_code == 200
    assert Grant.objects.filter(purchase_id=purchase.pk).count() == 1
    assert sound()


@pytest.mark.fault("P16")
def test_fifty_charges_cross_the_threshold_together_and_one_pack_is_bought(account: Account) -> None:
    v1 = stripe_gateway._client("", "").v1
    method = v1.payment_methods.attach("pm_card_visa", {"customer": cards.ensure_customer(account)})
    cards.save_card(account.pk, stripe_gateway.to_plain(method))
    total = ledger.balance(account.pk, timezone.now()).available
    wish = {"below": total, "pack": smallest_pack(), "currency": "usd"}
    AutoTopUp.objects.create(account=account, enabled=True, monthly_amount=10**9, monthly_count=50, **wish)
    assert auto_top_up.buy_for_low_accounts(timezone.now()) == 0
    each = (total / 60).quantize(Decimal("0.01"))

    def use(number: int) -> Any:
        """Ten threads, five charges each, and whoever crosses looks at once, as beat does beside them."""
        for nth in range(5):
            key = f"use {number} {nth}"
            charge = ledger.ChargeRequest(account_id=account.pk, credits=each, key=key, service="gpt-4o")
            ledger.charge(charge, timezone.now())
            auto_top_up.buy_for_low_accounts(timezone.now())
        return "done"

    assert at_once(10, use) == ["done"] * 10

    assert len(v1.payment_intents.list({}).data) == 1
    purchase = Purchase.objects.get(origin="auto_top_up")
    assert purchase.status == Purchase.Status.PAID
    assert ledger.balance(account.pk, timezone.now()).total == total - each * 50 + purchase.credits
    assert sound()
