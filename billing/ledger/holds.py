"""Setting credits aside for a use whose size is not yet known, and settling it.

Invariant: a hold is captured, released or expired exactly once; its end needs no job to be true, for
whatever touches the wallet after it settles the wallet first.
"""

import datetime as dt
import uuid
from decimal import Decimal
from typing import Any

from billing.ledger import database
from billing.ledger.charges import USE, charged, drawn, refusal, use_parameters
from billing.ledger.errors import HoldClosed, UnknownHold
from billing.ledger.moves import NO_FINGERPRINT, Charged, ChargeRequest, Held

_HOLD = f"select * from ledger_hold({USE}, %s, %s)"
_CAPTURE = f"select * from ledger_capture({USE}, %s, %s)"
_RELEASE = "select * from ledger_release(%s, %s, %s)"


def hold(request: ChargeRequest, *, expires_at: dt.datetime, now: dt.datetime) -> Held:
    """Reserve the requested credits until `expires_at`; the request's id becomes the hold's.

    Raises InsufficientCredits, InDebt, LimitReached, QuotaReached, KeyReused, UnknownWallet.
    """
    answer = database.row(_HOLD, [*use_parameters(request), expires_at, now])
    if answer["status"] not in {"held", "replayed"}:
        raise refusal(answer["status"], answer["refusal"] or {}, request.key)
    return _held(answer)


def capture(
    *,
    account_id: uuid.UUID,
    hold_id: uuid.UUID,
    credits: Decimal,
    key: str,
    detail: dict[str, Any],
    now: dt.datetime,
    fingerprint: bytes = NO_FINGERPRINT,
    quota: tuple[str, int] | None = None,
    covered_by: str | None = None,
) -> Charged:
    """Settle a hold with what was used (zero allowed); the attribution is the hold's own.

    More than was held draws the rest from the balance; what that lacks stands as `uncollected`.
    Raises HoldClosed, UnknownHold, KeyReused, UnknownWallet.
    """
    request = ChargeRequest(
        account_id=account_id,
        credits=credits,
        key=key,
        service="",
        fingerprint=fingerprint,
        detail=detail,
        quota=quota,
        covered_by=covered_by,
    )
    answer = database.row(_CAPTURE, [*use_parameters(request), hold_id, now])
    if answer["status"] == "unknown":
        raise UnknownHold(hold_id)
    if answer["status"] not in {"charged", "replayed"}:
        raise refusal(answer["status"], answer["refusal"] or {}, key)
    return charged(answer)


def release(*, account_id: uuid.UUID, hold_id: uuid.UUID, now: dt.datetime) -> Held:
    """Drop a hold: its credits come back. Raises HoldClosed, UnknownHold, UnknownWallet."""
    answer = database.row(_RELEASE, [account_id, hold_id, now])
    if answer["status"] == "unknown":
        raise UnknownHold(hold_id)
    if answer["status"] == "closed":
        raise HoldClosed(answer["hold_status"])
    return _held(answer)


def _held(answer: dict[str, Any]) -> Held:
    return Held(
        hold_id=answer["hold_id"],
        status=answer["hold_status"],
        credits=answer["credits"],
        drawn=drawn(answer["drawn"]),
        detail=answer["detail"],
        expires_at=answer["expires_at"],
        created_at=answer["created_at"],
        charge_id=answer["charge_id"],
        balance_after=answer["balance_after"],
        replayed=answer["status"] == "replayed",
    )
