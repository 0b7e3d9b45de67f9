"""Charges: credits taken for a use, one at a time or up to a thousand in a call, once for each key.

Invariant: a charge never takes a wallet below zero, and a refused charge changes nothing. The SQL decides
under the wallet's lock (sql/40_charges.sql, sql/90_batches.sql).
"""

import datetime as dt
import json
import uuid
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import psycopg
from django.db import OperationalError, connection

from billing.ledger import database
from billing.ledger.coalescing import Queue, WalletNotFree
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
from billing.ledger.waiting import waits

BATCH = 1000
USE = """ledger_new_use(account_id => %(account_id)s, id => %(id)s, key => %(key)s,
  fingerprint => %(fingerprint)s, credits => %(credits)s, service => %(service)s,
  covers => %(covers)s::text[], action => %(action)s, project_id => %(project_id)s,
  member_id => %(member_id)s, api_key_id => %(api_key_id)s, conversation => %(conversation)s,
  covered_by => %(covered_by)s, quota => %(quota)s, quota_count => %(quota_count)s,
  detail => %(detail)s::jsonb)"""
_CHARGE = f"select * from ledger_charge({USE}, %(now)s)"
_MANY = "select ord, (outcome).* from ledger_charge_many(%(uses)s::jsonb, %(now)s) order by ord"
# In calls that other requests wait for, a wallet that is not free within 100 ms is left to its own request.
# The timeout holds for the transaction; the reference to it makes PostgreSQL set it before it calls the
# function.
_BRIEFLY = "(select set_config('lock_timeout', '100ms', true) as timeout offset 0) s"
_NOW = "case when s.timeout is not null then %(now)s::timestamptz end"
_CHARGE_BRIEFLY = f"select c.* from {_BRIEFLY}, lateral ledger_charge({USE}, {_NOW}) c"
_MANY_BRIEFLY = f"""select c.ord, (c.outcome).* from {_BRIEFLY},
  lateral ledger_charge_many(%(uses)s::jsonb, {_NOW}) c order by c.ord"""


def charge(request: ChargeRequest, now: dt.datetime) -> Charged:
    """Charge one use, or return the first outcome where its key has charged the same body before.

    Raises InsufficientCredits, InDebt, LimitReached, QuotaReached, KeyReused, UnknownWallet.

    Concurrent calls of one process share a commit (see coalescing.py). Inside a transaction of the caller
    the charge belongs to that transaction, and the wallet stays locked until it ends.
    """
    if connection.in_atomic_block:
        return charge_alone(request, now)
    outcome = _queue.submit(request, now)
    if isinstance(outcome, LedgerError):
        raise outcome
    return outcome


def charge_alone(request: ChargeRequest, now: dt.datetime) -> Charged:
    """Charge one use in a separate database call. Raises as `charge` does."""
    outcome = _outcome(database.move(_CHARGE, use_parameters(request) | {"now": now}), request)
    if isinstance(outcome, LedgerError):
        raise outcome
    return outcome


def _charge_briefly(request: ChargeRequest, now: dt.datetime) -> Charged:
    """Charge one use if its wallet is free within 100 ms. Raises as `charge` does, and WalletNotFree."""
    try:
        row = database.row(_CHARGE_BRIEFLY, use_parameters(request) | {"now": now})
    except OperationalError as error:
        if isinstance(error.__cause__, psycopg.errors.LockNotAvailable):
            raise WalletNotFree from error
        raise
    outcome = _outcome(row, request)
    if isinstance(outcome, LedgerError):
        raise outcome
    return outcome


def charge_many(requests: Sequence[ChargeRequest], now: dt.datetime) -> list[Charged | LedgerError]:
    """Charge up to 1,000 uses of any accounts and return an outcome for each, in the same order.

    The outcomes are the same as those of charging one after the other. Raises ValueError above 1,000.
    """
    return _charge_set(requests, now, statement=_MANY)


def _charge_many_briefly(requests: Sequence[ChargeRequest], now: dt.datetime) -> list[Charged | LedgerError]:
    """`charge_many` that waits for wallets for 100 ms at most, then raises OperationalError."""
    return _charge_set(requests, now, statement=_MANY_BRIEFLY)


def _charge_set(
    requests: Sequence[ChargeRequest], now: dt.datetime, *, statement: str
) -> list[Charged | LedgerError]:
    if len(requests) > BATCH:
        raise ValueError(f"{len(requests)} uses; a batch takes {BATCH}")
    if not requests:
        return []
    uses = json.dumps([_as_json(request) for request in requests])
    rows = database.rows(statement, {"uses": uses, "now": now})
    return [_outcome(row, request) for row, request in zip(rows, requests, strict=True)]


def use_parameters(request: ChargeRequest) -> dict[str, Any]:
    """Return the parameters of `USE` by name."""
    quota, count = request.quota or (None, None)
    return {
        "account_id": request.account_id,
        "id": request.id,
        "key": request.key,
        "fingerprint": request.fingerprint,
        "credits": request.credits,
        "service": request.service,
        "covers": list(request.covers),
        "action": request.action,
        "project_id": request.project_id,
        "member_id": request.member_id,
        "api_key_id": request.api_key_id,
        "conversation": request.conversation,
        "covered_by": request.covered_by,
        "quota": quota,
        "quota_count": count,
        "detail": json.dumps(request.detail),
    }


def _as_json(request: ChargeRequest) -> dict[str, Any]:
    ids = ("account_id", "id", "project_id", "member_id", "api_key_id")
    values = use_parameters(request)
    return (
        values
        | {name: values[name] and str(values[name]) for name in ids}
        | {
            "fingerprint": f"\\x{request.fingerprint.hex()}",
            "credits": format(request.credits, "f"),
            "detail": request.detail,
        }
    )


def _outcome(row: dict[str, Any], request: ChargeRequest) -> Charged | LedgerError:
    if row["status"] in {"charged", "replayed"}:
        return charged(row)
    if row["status"] == "unknown":
        return UnknownWallet(request.account_id)
    return refusal(row["status"], row["refusal"] or {}, request.key)


def charged(row: dict[str, Any]) -> Charged:
    """Build a Charged from a row of the SQL type ledger_outcome."""
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
    """Build the Drawn records of a charge or hold from their JSON."""
    return tuple(
        Drawn(grant=uuid.UUID(item["grant"]), kind=item["kind"], credits=Decimal(item["credits"]))
        for item in items
    )


def refusal(status: str, figures: dict[str, Any], key: str) -> LedgerError:
    """Return the named error for a status with which the SQL refused."""
    if status == "reused":
        return KeyReused(key)
    if status == "debt":
        return InDebt(needed=Decimal(figures["needed"]), debt=Decimal(figures["debt"]))
    if status == "insufficient":
        return InsufficientCredits(needed=Decimal(figures["needed"]), available=Decimal(figures["available"]))
    if status == "closed":
        return HoldClosed(figures["status"])
    if status != "limit":
        raise ValueError(f"unknown status of the ledger: {status!r}")
    maximum, used = Decimal(figures["maximum"]), Decimal(figures["used"])
    if figures["limit"] == "quota":
        return QuotaReached(quota=figures["subject"], maximum=maximum, used=used)
    resets_at = figures["resets_at"] and dt.datetime.fromisoformat(figures["resets_at"])
    return LimitReached(
        limit=figures["limit"], subject=figures["subject"], maximum=maximum, used=used, resets_at=resets_at
    )


_queue = Queue(
    together=_charge_many_briefly, briefly=_charge_briefly, alone=charge_alone, is_stuck=waits.is_stuck
)
