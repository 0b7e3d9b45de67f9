"""Credits in: a grant for one reason, given once for its key."""

import datetime as dt
import uuid
from collections.abc import Sequence
from decimal import Decimal

from billing.ledger import database
from billing.ledger.errors import AlreadyExpired, KeyReused
from billing.ledger.moves import NO_FINGERPRINT, Granted, checked
from core.ids import new_id

_GRANT = "select * from ledger_grant(%s,%s,%s,%s,%s,%s,%s,%s,%s,%s::text[],%s,%s,%s,%s)"


def open_wallet(account_id: uuid.UUID, now: dt.datetime) -> bool:
    """Give the account its wallet; False when it has one already."""
    answer = database.row("select ledger_open_wallet(%s, %s) as opened", [account_id, now])
    return bool(answer["opened"])


def grant(
    *,
    account_id: uuid.UUID,
    credits: Decimal,
    kind: str,
    label: str,
    key: str,
    now: dt.datetime,
    expires_at: dt.datetime | None = None,
    services: Sequence[str] | None = None,
    priority: int | None = None,
    reason: str = "",
    purchase_id: uuid.UUID | None = None,
    actor: str = "",
    fingerprint: bytes = NO_FINGERPRINT,
) -> Granted:
    """Give credits, once for the key; what the account owes is repaid from them first.

    `services` limits the grant to those service keys or `tag:…`; `priority` defaults to the kind's.
    Raises AmountInvalid, KeyReused, AlreadyExpired, UnknownWallet.
    """
    answer = database.row(
        _GRANT,
        [
            account_id,
            new_id(),
            key,
            fingerprint,
            checked(credits),
            kind,
            label,
            priority,
            expires_at,
            None if services is None else list(services),
            purchase_id,
            reason,
            actor,
            now,
        ],
    )
    if answer["status"] == "reused":
        raise KeyReused(key)
    if answer["status"] == "expired":
        raise AlreadyExpired(expires_at)
    return Granted(
        grant_id=answer["grant_id"],
        balance_after=answer["balance_after"],
        repaid=answer["repaid"],
        replayed=answer["status"] == "replayed",
    )
