"""The audit's own records, which it signs: what it has ended, and how far a run is.

Invariant: a record that the audit did not write neither ends a run early nor postpones one. The database does
not hold the key that signs (billing.ledger.checkpoints.keys).
"""

import datetime as dt
from collections.abc import Iterator

from billing.ledger.audit.wallets import Finding
from billing.ledger.checkpoints import content, keys
from billing.ledger.models import Audit, AuditProgress, Checkpoint

# `saved_at` is a time of the process, and `id` is given by the database.
_UNSIGNED = {"id", "saved_at", "signature"}


def save(record: Audit | AuditProgress) -> None:
    """Sign the record and save it."""
    record.signature = keys.sign(_message(record))
    record.save()


def is_ours(record: Audit | AuditProgress) -> bool:
    """Whether an audit wrote the record as it is."""
    message, signature = _message(record), bytes(record.signature)
    return any(keys.is_valid(signer=key, signature=signature, message=message) for key in keys.public_keys())


def newest(now: dt.datetime) -> Audit | None:
    """The newest audit that has ended."""
    audits = Audit.objects.filter(started_at__lte=now).order_by("-pk").iterator(10)
    return next((audit for audit in audits if is_ours(audit)), None)


def findings(*, after: int) -> Iterator[Finding]:
    """Audits after the one with the id `after` that no audit wrote, or whose newest checkpoint is missing."""
    signed = Audit.objects.exclude(signature=b"").order_by("pk").first()
    for audit in Audit.objects.filter(pk__gt=after, pk__gte=signed.pk if signed else 0).order_by("pk"):
        subject, checkpoint = f"audit {audit.pk}", bytes(audit.checkpoint_hash)
        if not is_ours(audit):
            if signed:
                yield Finding(check="audits", subject=subject, found="it has no valid signature")
        elif checkpoint and not Checkpoint.objects.filter(hash=checkpoint).exists():
            yield Finding(check="audits", subject=subject, found="the checkpoint that it read is missing")


def _message(record: Audit | AuditProgress) -> bytes:
    names = [field.attname for field in record._meta.concrete_fields if field.attname not in _UNSIGNED]
    return content.message_of(
        {"model": record._meta.model_name, **{name: _text(getattr(record, name)) for name in names}}
    )


def _text(value: object) -> object:
    if isinstance(value, dt.datetime):
        return content.time_text(value)
    if isinstance(value, bytes | memoryview):
        return bytes(value).hex()
    return value if isinstance(value, bool | int | list | dict) else str(value)
