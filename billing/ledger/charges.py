"""Credits out: charging uses, one at a time or a thousand in a call, exactly once for each key.

Invariant: a charge never takes a wallet below zero and a refused one changes nothing, whatever else
happens at the same time; the SQL decides, under the wallet's lock (sql/40_charge.sql, sql/90_batch.sql).
"""

import datetime as dt
import json
import uuid
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from django.db import connection

from billing.ledger import database
from billing.ledger.coalescing import Queue
from billing.ledger.errors import (
    HoldClosed,
    InDebt,
    InsufficientCredits,
    KeyReused,
    LedgerError,
    LimitReached,
    QuotaReached,
    UnknownWallet,
)
from billing.ledger.moves import Charged, ChargeRequest, Drawn

BATCH = 1000
USE = "row(%s,%s,%s,%s,%s,%s,%s::text[],%s,%s,%s,%s,%s,%s,%s,%s,%s::jsonb)::ledger_use"
_CHARGE = f"select * from ledger_charge({USE}, %s)"
_MANY = "select ord, (outcome).* from ledger_charge_many(%s::jsonb, %s) order by ord"


def charge(request: ChargeRequest, now: dt.datetime) -> Charged:
    """Charge one use, or give the first answer again where its key was used for the same body.

    Raises InsufficientCredits, InDebt, LimitReached, QuotaReached, KeyReused, UnknownWallet.

    Concurrent calls of one process share a commit (see coalescing.py); inside a transaction of the
    caller's the charge is made there, and the wallet stays locked until that transaction ends.
    """
    if connection.in_atomic_block:
        return charge_alone(request, now)
    outcome = _queue.submit(request, now)
    if isinstance(outcome, LedgerError):
        raise outcome
    return outcome


def charge_alone(request: ChargeRequest, now: dt.datetime) -> Charged:
    """Charge one use in a database call of its own. Raises as `charge` does."""
    outcome = _outcome(database.row(_CHARGE, [*use_parameters(request), now]), request)
    if isinstance(outcome, LedgerError):
        raise outcome
    return outcome


def charge_many(requests: Sequence[ChargeRequest], now: dt.datetime) -> list[Charged | LedgerError]:
    """Charge up to 1,000 uses of any accounts; each gets its own outcome, in the same order.

    The outcome is the same as charging them one after the other. Raises ValueError above 1,000.
    """
    if len(requests) > BATCH:
        raise ValueError(f"{len(requests)} uses; a batch takes {BATCH}")
    if not requests:
        return []
    uses = json.dumps([_as_json(request) for request in requests])
    rows = database.rows(_MANY, [uses, now])
    return [_outcome(row, request) for row, request in zip(rows, requests, strict=True)]


def use_parameters(request: ChargeRequest) -> list[Any]:
    """The parameters of `USE`, in the order of the SQL type ledger_use."""
    quota, count = request.quota or (None, None)
    return [
        request.account_id,
        request.id,
        request.key,
        request.fingerprint,
        request.credits,
        request.service,
        list(request.covers),
        request.action,
        request.project_id,
        request.member_id,
        request.api_key_id,
        request.conversation,
        request.covered_by,
        quota,
        count,
        json.dumps(request.detail),
    ]


def _as_json(request: ChargeRequest) -> dict[str, Any]:
    quota, count = request.quota or (None, None)
    return {
        "account_id": str(request.account_id),
        "id": str(request.id),
        "key": request.key,
        "fingerprint": f"\\x{request.fingerprint.hex()}",
        "credits": format(request.credits, "f"),
        "service": request.service,
        "covers": request.covers,
        "action": request.action,
        "project_id": request.project_id and str(request.project_id),
        "member_id": request.member_id and str(request.member_id),
        "api_key_id": request.api_key_id and str(request.api_key_id),
        "conversation": request.conversation,
        "covered_by": request.covered_by,
        "quota": quota,
        "quota_count": count,
        "detail": request.detail,
    }


def _outcome(row: dict[str, Any], request: ChargeRequest) -> Charged | LedgerError:
    if row["status"] in {"charged", "replayed"}:
        return charged(row)
    if row["status"] == "unknown":
        return UnknownWallet(request.account_id)
    return refusal(row["status"], row["refusal"] or {}, request.key)


def charged(row: dict[str, Any]) -> Charged:
    """A Charged from a row of the SQL type ledger_outcome."""
    return Charged(
        charge_id=row["charge_id"],
        credits=row["credits"],
        uncollected=row["uncollected"],
        balance_before=row["balance_before"],
        balance_after=row["balance_after"],
        drawn=drawn(row["drawn"]),
        detail=row["detail"],
        covered_by=row["covered_by"],
        created_at=row["created_at"],
        replayed=row["status"] == "replayed",
    )


def drawn(items: list[dict[str, str]]) -> tuple[Drawn, ...]:
    return tuple(
        Drawn(grant=uuid.UUID(item["grant"]), kind=item["kind"], credits=Decimal(item["credits"]))
        for item in items
    )


def refusal(status: str, figures: dict[str, Any], key: str) -> LedgerError:
    """The named error for a status that the SQL refused with."""
    if status == "reused":
        return KeyReused(key)
    if status == "debt":
        return InDebt(needed=Decimal(figures["needed"]), debt=Decimal(figures["debt"]))
    if status == "insufficient":
        return InsufficientCredits(needed=Decimal(figures["needed"]), available=Decimal(figures["available"]))
    if status == "closed":
        return HoldClosed(figures["status"])
    if status != "limit":
        raise ValueError(f"the ledger answered {status!r}")
    maximum, used = Decimal(figures["maximum"]), Decimal(figures["used"])
    if figures["limit"] == "quota":
        return QuotaReached(quota=figures["subject"], maximum=maximum, used=used)
    resets_at = figures["resets_at"] and dt.datetime.fromisoformat(figures["resets_at"])
    return LimitReached(
        limit=figures["limit"], subject=figures["subject"], maximum=maximum, used=used, resets_at=resets_at
    )


_queue = Queue(together=charge_many, alone=charge_alone)
