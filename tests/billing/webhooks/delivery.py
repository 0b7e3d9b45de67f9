"""Deliver a signed event to the webhook endpoint, as Stripe does."""

import hashlib
import hmac
import json
import time
from typing import Any

from django.test import Client

SECRET = "whsec_sandbox"


def signed_headers(
    event: dict[str, Any] | bytes, *, secret: str = SECRET, age_seconds: int = 0
) -> tuple[bytes, dict[str, str]]:
    """The body of an event and the header that signs it, `age_seconds` ago."""
    payload = event if isinstance(event, bytes) else json.dumps(event).encode()
    stamp = int(time.time()) - age_seconds
    signature = hmac.new(secret.encode(), f"{stamp}.".encode() + payload, hashlib.sha256).hexdigest()
    return payload, {"Stripe-Signature": f"t={stamp},v1={signature}"}


def deliver(event: dict[str, Any] | bytes, *, secret: str = SECRET, age_seconds: int = 0) -> Any:
    """The response of the webhook endpoint to a signed event."""
    payload, headers = signed_headers(event, secret=secret, age_seconds=age_seconds)
    client = Client(enforce_csrf_checks=True, raise_request_exception=False)
    return client.post("/stripe/webhook/", payload, content_type="application/json", headers=headers)
