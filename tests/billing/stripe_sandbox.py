"""Stripe in billing's tests: the real gateway and SDK talk to the sandbox inside this process.

Invariant: every call of the gateway builds its own client, and every thread of a test has its own transport.
"""

import threading
from typing import Any

import pytest
import stripe
from django.utils import timezone

from accounts.models import Account
from billing import stripe_gateway
from billing.payments import cards, customers
from billing.stripe_gateway import client as gateway_client
from sandbox.models import Resource
from tests.sandbox.conftest import BASE, InProcess

SITE = "http://127.0.0.1"


def connect(settings: Any, monkeypatch: pytest.MonkeyPatch, transport: type[InProcess] = InProcess) -> None:
    """Let the gateway talk to the sandbox. Webhooks are not delivered; tests pass events on themselves."""
    settings.SITE_URL, settings.STRIPE_API_BASE = SITE, BASE
    of_thread = threading.local()  # a transport loads the middleware, which takes as long as a short request

    def client(secret_key: str, _base: str) -> stripe.StripeClient:
        if not hasattr(of_thread, "transport"):
            of_thread.transport = transport()
        return stripe.StripeClient(
            secret_key or "sk_test_sandbox",
            base_addresses={"api": BASE},
            http_client=of_thread.transport,
            max_network_retries=0,
        )

    monkeypatch.setattr(gateway_client, "_client", client)
    monkeypatch.setattr("sandbox.objects.deliveries.send_soon", lambda *_, **__: None)


def api() -> Any:
    """Stripe's API v1, as the gateway uses it."""
    return gateway_client._client("", "").v1


def plain(stripe_object: Any) -> dict[str, Any]:
    """An object of the SDK as the plain JSON that a webhook would carry."""
    return stripe_gateway.to_plain(stripe_object)


def save_card(account: Account, card: str = "visa") -> str:
    """Save a test card as the default of the account's customer; return the payment method's id."""
    customer = customers.ensure_customer(account)
    method = api().payment_methods.attach(f"pm_card_{card}", {"customer": customer})
    api().customers.update(customer, {"invoice_settings": {"default_payment_method": method.id}})
    cards.synchronize(account.pk, timezone.now())
    return str(method.id)


def forget_applied_objects() -> None:
    """Remove from Stripe what was checked, so that the reconciliation of the next account is quick."""
    applied = ["event", "checkout.session", "payment_intent", "charge", "refund", "dispute", "invoice"]
    Resource.objects.filter(kind__in=applied).delete()
