"""Idempotency keys: the same request under the same key is done once and answered the same.

Invariant: a key belongs to one request (path and parameters); its answer is committed together with its
effect.
"""

from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction

from sandbox.errors import StripeError
from sandbox.models import IdempotencyRecord

# A request still unanswered after this died with its process: the next one with its key takes over.
ABANDONED_AFTER = timedelta(minutes=2)


def claim(key: str, fingerprint: str, request_id: str, now: datetime) -> tuple[int, tuple[int, Any] | None]:
    """Take the key: (record, None) to go on, (record, (status, answer)) when it was answered before.

    Raises StripeError: idempotency_error for another request (400), or 409 while the first is in flight.
    """
    if len(key) > 255:
        raise StripeError("Idempotency-Key must be at most 255 characters long.", type="idempotency_error")
    try:
        with transaction.atomic():
            record = IdempotencyRecord.objects.create(
                key=key, fingerprint=fingerprint, request_id=request_id, started_at=now
            )
    except IntegrityError:
        return _existing(key, fingerprint, now)
    return record.pk, None


def _existing(key: str, fingerprint: str, now: datetime) -> tuple[int, tuple[int, Any] | None]:
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


def keep(record: int, status: int, answer: Any) -> None:
    """Store the answer, in the transaction of its effect."""
    IdempotencyRecord.objects.filter(pk=record).update(status=status, answer=answer)


def give_up(record: int) -> None:
    """Free a key whose request wrote nothing."""
    IdempotencyRecord.objects.filter(pk=record, status=None).delete()
