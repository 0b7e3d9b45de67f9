"""The audit log of staff: who did what in the admin, to what, why, and the values before and after.

Invariants: an act is recorded in the transaction that does it, so neither exists without the other; the
database refuses to change or delete a record; no secret is recorded, and of personal fields only that they
changed, because a record outlives the erasure of a person.
"""

import re
import uuid
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any

from django.db import models, transaction

from core.models import StaffAct

CONCEALED = "…"
_SECRET = re.compile(r"secret|hash|password|token|encrypted|fingerprint|recovery")
MOST_REASON = 2000


def record(
    *,
    actor_id: uuid.UUID,
    act: str,
    subject: models.Model | None,
    now: datetime,
    account_id: uuid.UUID | None = None,
    reason: str = "",
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> StaffAct:
    """Record an act. Call it inside the transaction of the act.

    `account_id`: the account that it concerns; default: the subject's. Raises RuntimeError outside of a
    transaction.
    """
    if not transaction.get_connection().in_atomic_block:
        raise RuntimeError("an act is recorded in the transaction that does it")
    return StaffAct.objects.create(
        actor_id=actor_id,
        act=act,
        subject_type="" if subject is None else subject._meta.label_lower,
        subject_id="" if subject is None else str(subject.pk),
        account_id=account_id or _account_of(subject),
        reason=reason[:MOST_REASON],
        before=values(before or {}),
        after=values(after or {}),
        created_at=now,
    )


def values(given: Mapping[str, Any], *, concealed: Collection[str] = ()) -> dict[str, Any]:
    """The values as JSON; those of secrets and of the `concealed` fields are replaced."""
    return {
        name: CONCEALED if name in concealed or _SECRET.search(name) else _plain(value)
        for name, value in given.items()
    }


def fields_of(row: models.Model, names: Iterable[str] | None = None) -> dict[str, Any]:
    """The stored values of a row, for `before` and `after`."""
    chosen = names or [field.attname for field in row._meta.concrete_fields]
    return {name: getattr(row, name) for name in chosen}


def _account_of(subject: models.Model | None) -> uuid.UUID | None:
    if subject is None:
        return None
    if subject._meta.label_lower == "accounts.account":
        return uuid.UUID(str(subject.pk))
    account_id: uuid.UUID | None = getattr(subject, "account_id", None)
    return account_id


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, bytes | memoryview):
        return CONCEALED
    if isinstance(value, models.Model):
        return str(value.pk)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return values({str(name): one for name, one in value.items()})
    if isinstance(value, list | tuple | set | models.QuerySet):
        return [_plain(one) for one in value]
    return str(value)
