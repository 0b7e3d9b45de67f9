"""Corrections: reversals, claw-backs with debt, their restoration, and adjustments by staff.

Invariant: each is made once for its key and undoes or takes no more than there is. What cannot be taken back
because it was spent becomes the account's debt.
"""

import datetime as dt
import uuid
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from billing.ledger import database
from billing.ledger.errors import (
    AlreadyRestored,
    BalanceTooLarge,
    InsufficientCredits,
    KeyReused,
    NotReversible,
    UnknownCharge,
    UnknownClawBack,
)
from billing.ledger.moves import NO_FINGERPRINT, STORABLE, Corrected, checked
from core.ids import new_id

_COMMON = """p_account => %(account_id)s, p_id => %(id)s, p_key => %(key)s, p_fingerprint => %(fingerprint)s,
  p_reason => %(reason)s, p_actor => %(actor)s, p_now => %(now)s"""
_REVERSE = f"select * from ledger_reverse({_COMMON}, p_charge => %(charge_id)s, p_credits => %(credits)s)"
_CLAW_BACK = f"""select * from ledger_claw_back({_COMMON}, p_purchase => %(purchase_id)s,
  p_credits => %(credits)s, p_unspent_only => %(unspent_only)s, p_grants => %(grant_ids)s::uuid[])"""
_RESTORE = f"select * from ledger_restore({_COMMON}, p_undo => %(claw_back_key)s)"
_ADJUST = f"select * from ledger_adjust({_COMMON}, p_credits => %(credits)s)"


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
    """Return all (None) or part of a charge to the grants it was drawn from, the last drawn first.

    The part of a grant that has expired comes as a new adjustment, valid for 30 days.
    Raises NotReversible, UnknownCharge, KeyReused, AmountInvalid, UnknownWallet.
    """
    parameters = {
        "account_id": account_id,
        "id": new_id(),
        "key": key,
        "fingerprint": fingerprint,
        "reason": reason,
        "actor": actor,
        "now": now,
        "charge_id": charge_id,
        "credits": None if credits is None else checked(credits),
    }
    result = database.move(_REVERSE, parameters)
    if result["status"] == "unknown":
        raise UnknownCharge(charge_id)
    if result["status"] == "excess":
        figures = result["refusal"]
        raise NotReversible(asked=Decimal(figures["asked"]), left=Decimal(figures["left"]))
    return _corrected(result, key)


def claw_back(
    *,
    account_id: uuid.UUID,
    purchase_id: uuid.UUID,
    key: str,
    reason: str,
    now: dt.datetime,
    credits: Decimal | None = None,
    unspent_only: bool = False,
    grant_ids: Sequence[uuid.UUID] | None = None,
    actor: str = "",
    fingerprint: bytes = NO_FINGERPRINT,
) -> Corrected:
    """Take back what is unspent of a purchase's grants, and record what was spent of them as debt.

    `credits` is the most to take (None: all of the purchase); `unspent_only` records no debt; `grant_ids` are
    taken for the purchase's grants (those of a plan's allowances, which name no purchase). What an earlier
    claw-back of the same grants took is not taken again. Raises KeyReused, AmountInvalid, UnknownWallet.
    """
    parameters = {
        "account_id": account_id,
        "id": new_id(),
        "key": key,
        "fingerprint": fingerprint,
        "reason": reason,
        "actor": actor,
        "now": now,
        "purchase_id": purchase_id,
        "credits": None if credits is None else checked(credits),
        "unspent_only": unspent_only,
        "grant_ids": None if grant_ids is None else list(grant_ids),
    }
    return _corrected(database.move(_CLAW_BACK, parameters), key)


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
    parameters = {
        "account_id": account_id,
        "id": new_id(),
        "key": key,
        "fingerprint": fingerprint,
        "reason": reason,
        "actor": actor,
        "now": now,
        "claw_back_key": claw_back_key,
    }
    result = database.move(_RESTORE, parameters)
    if result["status"] == "unknown":
        raise UnknownClawBack(claw_back_key)
    if result["status"] == "undone":
        raise AlreadyRestored(claw_back_key)
    return _corrected(result, key)


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
    """Add (positive) or take (negative) credits for a stated reason. Taking more than the balance is refused.

    Taking any amount up to the balance is allowed, adding only amounts and balances within core.amounts.
    Raises ValueError without a reason, AmountInvalid, BalanceTooLarge, InsufficientCredits, KeyReused,
    UnknownWallet.
    """
    if not reason.strip():
        raise ValueError("an adjustment needs a reason")
    if isinstance(credits, Decimal) and credits < 0:
        checked(-credits, most=STORABLE)
    else:
        checked(credits)
    parameters = {
        "account_id": account_id,
        "id": new_id(),
        "key": key,
        "fingerprint": fingerprint,
        "reason": reason,
        "actor": actor,
        "now": now,
        "credits": credits,
    }
    result = database.move(_ADJUST, parameters)
    if result["status"] == "insufficient":
        figures = result["refusal"]
        raise InsufficientCredits(needed=Decimal(figures["needed"]), available=Decimal(figures["available"]))
    if result["status"] == "too_large":
        raise BalanceTooLarge
    return _corrected(result, key)


def _corrected(result: dict[str, Any], key: str) -> Corrected:
    if result["status"] == "reused":
        raise KeyReused(key)
    return Corrected(
        correction_id=result["correction_id"],
        credits=result["credits"],
        debt=result["debt"],
        balance_after=result["balance_after"],
        detail=result["detail"],
        created_at=result["created_at"],
        replayed=result["status"] == "replayed",
    )
