"""Moves that mend: reversals, claw-backs with debt, their restoration, adjustments by staff.

Invariant: each is made once for its key, and undoes or takes no more than there is: what cannot be taken
because it was spent becomes the account's debt, on record.
"""

import datetime as dt
import uuid
from decimal import Decimal
from typing import Any

from billing.ledger import database
from billing.ledger.errors import (
    AlreadyRestored,
    InsufficientCredits,
    KeyReused,
    NotReversible,
    UnknownCharge,
    UnknownClawBack,
)
from billing.ledger.moves import NO_FINGERPRINT, Corrected, checked
from core.ids import new_id

_REVERSE = "select * from ledger_reverse(%s,%s,%s,%s,%s,%s,%s,%s,%s)"
_CLAW_BACK = "select * from ledger_claw_back(%s,%s,%s,%s,%s,%s,%s,%s,%s,%s)"
_RESTORE = "select * from ledger_restore(%s,%s,%s,%s,%s,%s,%s,%s)"
_ADJUST = "select * from ledger_adjust(%s,%s,%s,%s,%s,%s,%s,%s)"


def reverse(
    *,
    account_id: uuid.UUID,
    charge_id: uuid.UUID,
    key: str,
    reason: str,
    now: dt.datetime,
    credits: Decimal | None = None,
    actor: str = "",
    fingerprint: bytes = NO_FINGERPRINT,
) -> Corrected:
    """Give all (None) or part of a charge back to the grants it came from, last drawn first.

    Where a grant's time is over its part comes as a fresh adjustment, good for 30 days.
    Raises NotReversible, UnknownCharge, KeyReused, AmountInvalid, UnknownWallet.
    """
    amount = None if credits is None else checked(credits)
    answer = database.row(
        _REVERSE, [account_id, new_id(), key, fingerprint, charge_id, amount, reason, actor, now]
    )
    if answer["status"] == "unknown":
        raise UnknownCharge(charge_id)
    if answer["status"] == "excess":
        figures = answer["refusal"]
        raise NotReversible(asked=Decimal(figures["asked"]), left=Decimal(figures["left"]))
    return _corrected(answer, key)


def claw_back(
    *,
    account_id: uuid.UUID,
    purchase_id: uuid.UUID,
    key: str,
    reason: str,
    now: dt.datetime,
    credits: Decimal | None = None,
    unspent_only: bool = False,
    actor: str = "",
    fingerprint: bytes = NO_FINGERPRINT,
) -> Corrected:
    """Take back what is unspent of a purchase's grants, and book what was spent of them as debt.

    `credits` bounds it (None: all of the purchase); `unspent_only` books no debt. What an earlier claw-back
    of the purchase took is not taken again. Raises KeyReused, AmountInvalid, UnknownWallet.
    """
    amount = None if credits is None else checked(credits)
    parameters = [
        account_id,
        new_id(),
        key,
        fingerprint,
        purchase_id,
        amount,
        unspent_only,
        reason,
        actor,
        now,
    ]
    return _corrected(database.row(_CLAW_BACK, parameters), key)


def restore(
    *,
    account_id: uuid.UUID,
    claw_back_key: str,
    key: str,
    reason: str,
    now: dt.datetime,
    actor: str = "",
    fingerprint: bytes = NO_FINGERPRINT,
) -> Corrected:
    """Undo exactly one claw-back. Raises UnknownClawBack, AlreadyRestored, KeyReused, UnknownWallet."""
    answer = database.row(
        _RESTORE, [account_id, new_id(), key, fingerprint, claw_back_key, reason, actor, now]
    )
    if answer["status"] == "unknown":
        raise UnknownClawBack(claw_back_key)
    if answer["status"] == "undone":
        raise AlreadyRestored(claw_back_key)
    return _corrected(answer, key)


def adjust(
    *,
    account_id: uuid.UUID,
    credits: Decimal,
    key: str,
    reason: str,
    actor: str,
    now: dt.datetime,
    fingerprint: bytes = NO_FINGERPRINT,
) -> Corrected:
    """Give (positive) or take (negative) credits for a stated reason; taking more than there is, is refused.

    Raises ValueError without a reason, AmountInvalid, InsufficientCredits, KeyReused, UnknownWallet.
    """
    if not reason.strip():
        raise ValueError("an adjustment needs a reason")
    checked(abs(credits) if isinstance(credits, Decimal) else credits)
    answer = database.row(_ADJUST, [account_id, new_id(), key, fingerprint, credits, reason, actor, now])
    if answer["status"] == "insufficient":
        figures = answer["refusal"]
        raise InsufficientCredits(needed=Decimal(figures["needed"]), available=Decimal(figures["available"]))
    return _corrected(answer, key)


def _corrected(answer: dict[str, Any], key: str) -> Corrected:
    if answer["status"] == "reused":
        raise KeyReused(key)
    return Corrected(
        correction_id=answer["correction_id"],
        credits=answer["credits"],
        debt=answer["debt"],
        balance_after=answer["balance_after"],
        detail=answer["detail"],
        created_at=answer["created_at"],
        replayed=answer["status"] == "replayed",
    )
