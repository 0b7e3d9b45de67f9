"""Grants: credits given for one reason, once for each key.

Invariant: new credits repay the account's debt before anything can be charged to them.
"""

import datetime as dt
import uuid
from collections.abc import Sequence
from decimal import Decimal

from billing.ledger import database
from billing.ledger.errors import AlreadyExpired, BalanceTooLarge, KeyReused, TooManyGrants
from billing.ledger.models import Grant
from billing.ledger.moves import NO_FINGERPRINT, Granted, checked
from core.ids import new_id

_GRANT = """select * from ledger_grant(p_account => %(account_id)s, p_id => %(id)s, p_key => %(key)s,
  p_fingerprint => %(fingerprint)s, p_credits => %(credits)s, p_kind => %(kind)s, p_label => %(label)s,
  p_priority => %(priority)s, p_expires => %(expires_at)s, p_services => %(services)s::text[],
  p_purchase => %(purchase_id)s, p_reason => %(reason)s, p_actor => %(actor)s, p_now => %(now)s)"""


def open_wallet(account_id: uuid.UUID, now: dt.datetime) -> bool:
    """Create the account's wallet. Returns False when it exists already."""
    result = database.row(
        "select ledger_open_wallet(%(account_id)s, %(now)s) as opened", {"account_id": account_id, "now": now}
    )
    return bool(result["opened"])


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
    most_open: int | None = None,
) -> Granted:
    """Grant credits, once for the key. They repay the account's debt first.

    `services` limits the grant to those service keys or `tag:…`; `priority` defaults to the kind's.
    Without a purchase, a grant that would raise the balance above core.amounts.LARGEST_BALANCE is refused.
    `most_open` refuses a new grant where that many grants of the account have credits left (calls at the same
    time may exceed it by a few).
    Raises AmountInvalid, BalanceTooLarge, KeyReused, AlreadyExpired, TooManyGrants, UnknownWallet.
    """
    if most_open is not None:
        _require_room(account_id, key, most_open)
    parameters = {
        "account_id": account_id,
        "id": new_id(),
        "key": key,
        "fingerprint": fingerprint,
        "credits": checked(credits),
        "kind": kind,
        "label": label,
        "priority": priority,
        "expires_at": expires_at,
        "services": None if services is None else list(services),
        "purchase_id": purchase_id,
        "reason": reason,
        "actor": actor,
        "now": now,
    }
    result = database.move(_GRANT, parameters)
    if result["status"] == "reused":
        raise KeyReused(key)
    if result["status"] == "expired":
        raise AlreadyExpired(expires_at)
    if result["status"] == "too_large":
        raise BalanceTooLarge
    return Granted(
        grant_id=result["grant_id"],
        balance_after=result["balance_after"],
        repaid=result["repaid"],
        replayed=result["status"] == "replayed",
    )


def _require_room(account_id: uuid.UUID, key: str, most_open: int) -> None:
    grants = Grant.objects.filter(account_id=account_id)
    is_full = grants.filter(open=True)[:most_open].count() == most_open
    if is_full and not grants.filter(idempotency_key=key).exists():
        raise TooManyGrants(most_open)
