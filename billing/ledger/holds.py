"""Holds: credits reserved for a use whose size is not yet known, then captured or released.

A hold may be the child of another one, and then reserves from it instead of the balance (62_child_holds.sql).

Invariant: a hold is captured, released or expired exactly once. Its end needs no job: every move of the
wallet after it settles the wallet first. A tree of holds never spends more than its root reserved.
"""

import datetime as dt
import json
import uuid
from decimal import Decimal
from typing import Any

from billing.ledger import database
from billing.ledger.charges import charged, drawn, refusal
from billing.ledger.hold_errors import UnknownHold
from billing.ledger.moves import NO_FINGERPRINT, Charged, ChargeRequest, Held, checked
from billing.ledger.uses import USE, use_parameters
from core.ids import new_id

_HOLD = f"""select * from ledger_hold(%(account_id)s, {USE}, %(expires_at)s, %(now)s, %(most)s,
  %(at_expiry)s)"""
_CHILD = f"""select * from ledger_hold_child(%(account_id)s, {USE}, %(parent)s, %(expires_at)s, %(now)s,
  %(most)s, %(at_expiry)s)"""
_CAPTURE = """select * from ledger_capture(p_account => %(account_id)s, p_hold => %(hold_id)s, p_id => %(id)s,
  p_key => %(key)s, p_fingerprint => %(fingerprint)s, p_credits => %(credits)s, p_detail => %(detail)s::jsonb,
  p_covered_by => %(covered_by)s, p_quota => %(quota)s, p_quota_count => %(quota_count)s, p_now => %(now)s)"""
_RELEASE = "select * from ledger_release(%(account_id)s, %(hold_id)s, %(now)s)"
_REPORT = "select * from ledger_report_usage(%(account_id)s, %(hold_id)s, %(reported)s::jsonb, %(now)s)"


def hold(
    request: ChargeRequest,
    *,
    expires_at: dt.datetime,
    now: dt.datetime,
    most_running: int | None = None,
    parent: uuid.UUID | None = None,
    at_expiry: str = "release",
) -> Held:
    """Reserve the requested credits until `expires_at`; the request's id becomes the hold's.

    `most_running`: how many holds of the account may run at once, this one included; None: any number.
    `parent`: the hold to reserve from; the new one ends with it at the latest. `at_expiry`: what becomes of
    the hold when nobody captures it (Hold.AtExpiry).
    Raises InsufficientCredits, InDebt, LimitReached, QuotaReached, TooManyHolds, KeyReused, UnknownWallet;
    with a parent BudgetExceeded, TreeTooDeep, HoldClosed, UnknownHold instead of the first two.
    """
    more = {"expires_at": expires_at, "now": now, "most": most_running, "at_expiry": at_expiry}
    if parent is None:
        result = database.move(_HOLD, use_parameters(request) | more)
    else:
        result = database.move(_CHILD, use_parameters(request) | more | {"parent": parent})
        if result["status"] == "unknown":
            raise UnknownHold(parent)
    if result["status"] not in {"held", "replayed"}:
        raise refusal(result["status"], result["refusal"] or {}, request.key)
    return _held(result)


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
    """Settle a hold with the credits that were used (zero allowed); its attribution is the hold's.

    Credits above the hold come from the balance; what the balance lacks is recorded as `uncollected`. In a
    tree of holds they come from what the holds above have free, never from the balance.
    Raises AmountInvalid, HoldClosed, ChildrenOpen, UnknownHold, KeyReused, UnknownWallet.
    """
    quota_key, quota_count = quota or (None, None)
    parameters = {
        "account_id": account_id,
        "hold_id": hold_id,
        "id": new_id(),
        "key": key,
        "fingerprint": fingerprint,
        "credits": checked(credits, zero=True),
        "detail": json.dumps(detail),
        "covered_by": covered_by,
        "quota": quota_key,
        "quota_count": quota_count,
        "now": now,
    }
    result = database.move(_CAPTURE, parameters)
    if result["status"] == "unknown":
        raise UnknownHold(hold_id)
    if result["status"] not in {"charged", "replayed"}:
        raise refusal(result["status"], result["refusal"] or {}, key)
    return charged(result)


def release(*, account_id: uuid.UUID, hold_id: uuid.UUID, now: dt.datetime) -> Held:
    """Close a hold and return its credits, a child's to its parent.

    Raises HoldClosed, ChildrenOpen, UnknownHold, UnknownWallet.
    """
    result = database.move(_RELEASE, {"account_id": account_id, "hold_id": hold_id, "now": now})
    return _of_one(result, hold_id, "released")


def report_usage(
    *,
    account_id: uuid.UUID,
    hold_id: uuid.UUID,
    credits: Decimal,
    detail: dict[str, Any],
    quota_count: int | None,
    now: dt.datetime,
) -> Held:
    """Store what a running hold has used so far; it is charged if nobody captures a hold that says so.

    Raises AmountInvalid, HoldClosed, UnknownHold, UnknownWallet.
    """
    amount = format(checked(credits, zero=True), "f")
    reported = {"credits": amount, "detail": detail, "quota_count": quota_count}
    parameters = {"account_id": account_id, "hold_id": hold_id, "reported": json.dumps(reported), "now": now}
    return _of_one(database.move(_REPORT, parameters), hold_id, "reported")


def _of_one(result: dict[str, Any], hold_id: uuid.UUID, done: str) -> Held:
    """The hold of a move that was `done` to it. Raises why it was not."""
    if result["status"] == "unknown":
        raise UnknownHold(hold_id)
    if result["status"] != done:
        raise refusal(result["status"], {"status": result["hold_status"]} | (result["refusal"] or {}), "")
    return _held(result)


def _held(result: dict[str, Any]) -> Held:
    return Held(
        hold_id=result["hold_id"],
        status=result["hold_status"],
        credits=result["credits"],
        drawn=drawn(result["drawn"]),
        detail=result["detail"],
        expires_at=result["expires_at"],
        created_at=result["created_at"],
        charge_id=result["charge_id"],
        balance_after=result["balance_after"],
        replayed=result["status"] == "replayed",
    )
