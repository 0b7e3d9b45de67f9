"""Idempotency keys: the first request with a key runs, later ones get its stored response.

Invariant: a key belongs to one request (path and parameters) until it is pruned, and its response is
committed together with what the request changed. The response, also an error, is stored once the request's
execution has begun; parameters that fail validation leave the key free
(https://docs.stripe.com/api/idempotent_requests, https://docs.stripe.com/error-low-level). Keys belong to the
HTTP layer, so they age by the wall clock and not by a test clock.
"""

import hashlib
from datetime import datetime, timedelta
from typing import Any

from django.db import connection

from sandbox import store
from sandbox.errors import StripeError
from sandbox.models import IdempotencyRecord

# After this time a request without a response is considered crashed, and the key may be used again.
ABANDONED_AFTER = timedelta(minutes=2)
# Stripe may prune a key that is "at least 24 hours old"; the earliest moment is the worst case for a client.
PRUNED_AFTER = timedelta(hours=24)

_CLAIM = """
    INSERT INTO sandbox_idempotencyrecord (key, fingerprint, request_id, started_at)
    VALUES (%s, %s, %s, %s) ON CONFLICT (key) DO NOTHING RETURNING id
"""


def claim(key: str, fingerprint: str, request_id: str, now: datetime) -> tuple[int, tuple[int, Any] | None]:
    """Reserve the key: (record id, None) to run the request, (record id, (status, response)) to replay it.

    Raises StripeError: 400 when the key belongs to another request, 409 while the first is in progress.
    """
    if len(key) > 255:
        raise StripeError("Idempotency-Key must be at most 255 characters long.", type="idempotency_error")
    key = _in_environment(key)
    IdempotencyRecord.objects.filter(key=key, started_at__lte=now - PRUNED_AFTER).delete()
    with connection.cursor() as cursor:
        cursor.execute(_CLAIM, [key, fingerprint, request_id, now])
        claimed = cursor.fetchone()
    return (claimed[0], None) if claimed else _claim_existing(key, fingerprint, now)


def _claim_existing(key: str, fingerprint: str, now: datetime) -> tuple[int, tuple[int, Any] | None]:
    record = IdempotencyRecord.objects.filter(key=key).first()
    if record is not None and record.fingerprint != fingerprint:
        raise StripeError(
            "Keys for idempotent requests can only be used with the same parameters they were first used "
            f"with. Try using a key other than '{key}' if you meant to execute a different request.",
            type="idempotency_error",
        )
    if record is not None and record.status is not None:
        return record.pk, (record.status, record.answer)
    taken_over = IdempotencyRecord.objects.filter(
        key=key, status=None, started_at__lt=now - ABANDONED_AFTER
    ).update(started_at=now)
    if record is not None and taken_over:
        return record.pk, None
    raise StripeError(
        "There is currently another in-progress request using this Idempotent Key.",
        status=409,
        type="idempotency_error",
        code="idempotency_key_in_use",
    )


def is_stored(error: StripeError) -> bool:
    """Whether a handler's error is kept under the key: not for parameters that fail validation."""
    code = str(error.error.get("code") or "")
    return not code.startswith("parameter_") and code != "sandbox_gap"


def _in_environment(key: str) -> str:
    """Each Stripe account and mode has keys of its own."""
    place = store.environment()
    return key if place == "acct_sandbox/test" else f"{place} {hashlib.sha256(key.encode()).hexdigest()}"


def store_response(record: int, status: int, response: Any) -> None:
    """Store the response: in the transaction of the request's changes, or after they were rolled back."""
    IdempotencyRecord.objects.filter(pk=record).update(status=status, answer=response)


def release(record: int) -> None:
    """Free the key of a request that changed nothing."""
    IdempotencyRecord.objects.filter(pk=record, status=None).delete()
