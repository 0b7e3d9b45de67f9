"""Verification of webhooks that Refill sends: Standard Webhooks, https://www.standardwebhooks.com/."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import time
from collections.abc import Iterable, Mapping
from typing import Any

from refill_client.errors import InvalidWebhook

TOLERANCE_SECONDS = 300


def verify_webhook(
    body: bytes | str,
    headers: Mapping[str, str],
    secrets: str | Iterable[str],
    *,
    tolerance: int = TOLERANCE_SECONDS,
    now: float | None = None,
) -> dict[str, Any]:
    """The event of a webhook, after its signature and age are verified.

    `body` is the request's body as received, before any parsing. `secrets`: one `whsec_…`, or several during
    a rotation. `tolerance` in seconds. The header may have several signatures; one has to match one secret.
    Raises InvalidWebhook. The same event can come twice: its `webhook-id` header is the same each time.
    """
    named = {name.lower(): value for name, value in headers.items()}
    content = body.encode() if isinstance(body, str) else body
    try:
        identity, sent_at = named["webhook-id"], named["webhook-timestamp"]
        signatures = named["webhook-signature"].split()
        age = (time.time() if now is None else now) - int(sent_at)
    except (KeyError, ValueError) as error:
        raise InvalidWebhook("the headers of a webhook are missing or invalid") from error
    if abs(age) > tolerance:
        raise InvalidWebhook(f"the webhook was sent {age:.0f} seconds ago")
    signed = f"{identity}.{sent_at}.".encode() + content
    keys = [_key(secret) for secret in ([secrets] if isinstance(secrets, str) else secrets)]
    expected = [b"v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)) for key in keys]
    # Every pair is compared, in constant time.
    matches = [hmac.compare_digest(one, given.encode()) for one in expected for given in signatures]
    if not any(matches):
        raise InvalidWebhook("no signature of the webhook is valid")
    try:
        event = json.loads(content)
    except ValueError as error:
        raise InvalidWebhook("the body is not JSON") from error
    if not isinstance(event, dict):
        raise InvalidWebhook("the body is not an event")
    return event


def _key(secret: str) -> bytes:
    try:
        return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error as error:
        raise ValueError("a webhook secret is whsec_ and base64") from error
