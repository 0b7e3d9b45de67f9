"""Charges: credits taken for a use, once for each key.

Invariant: a charge never takes a wallet below zero, and a refused charge changes nothing. The SQL decides
under the wallet's lock (sql/40_charges.sql, sql/90_batches.sql).
"""

import datetime as dt
import uuid
from collections.abc import Collection, Sequence
from decimal import Decimal
from typing import Any

from django.db import connection

from billing.ledger import database, shared_calls
from billing.ledger.errors import (
    InDebt,
    InsufficientCredits,
    KeyReused,
    LedgerError,
    LimitReached,
    QuotaReached,
    UnknownWallet,
    WalletBusy,
)
from billing.ledger.hold_errors import (
    BudgetExceeded,
    ChildrenOpen,
    HoldClosed,
    TooManyHolds,
    TreeTooDeep,
)
from billing.ledger.moves import Charged, ChargeRequest, Drawn
from billing.ledger.uses import CHARGE, use_parameters

_CHARGED = """select a.id::text as account_id from unnest(%(account_ids)s::uuid[]) a(id)
 where exists (select from billing_charge c where c.account_id = a.id and c.credits > 0)"""


def charge(request: ChargeRequest, now: dt.datetime) -> Charged:
    """Charge one use, or return the first outcome where its key has charged the same body before.

    Raises InsufficientCredits, InDebt, LimitReached, QuotaReached, KeyReused, UnknownWallet; WalletLocked and
    other database errors, after which the outcome is unknown.

    Concurrent calls of one process share a commit (see shared_calls.py). Inside a transaction of the caller
    the charge belongs to that transaction, and the wallet stays locked until it ends.
    """
    if connection.in_atomic_block:
        return charge_alone(request, now)
    outcome = outcome_of(shared_calls.calls.charge(request, now), request)
    if isinstance(outcome, LedgerError):
        raise outcome
    return outcome


def charge_at_once(uses: Sequence[tuple[ChargeRequest, dt.datetime]]) -> list[Charged | LedgerError | None]:
    """Charge uses of any accounts, each at its own time, in one call that waits for no wallet.

    WalletBusy for a use whose wallet is locked: `charge_account` waits for it. None for each use if the call
    failed: the outcome is unknown, and `charge` finds it.
    """
    return _outcomes(shared_calls.calls.charge_at_once(uses), uses)


def charge_account(uses: Sequence[tuple[ChargeRequest, dt.datetime]]) -> list[Charged | LedgerError | None]:
    """Charge uses of one account, each at its own time, in one call that waits for its wallet for 250 ms.

    Raises Django's database errors, after which the outcome is unknown.
    """
    return _outcomes(shared_calls.charge_account(uses), uses)


def _outcomes(
    rows: Sequence[dict[str, Any] | None], uses: Sequence[tuple[ChargeRequest, dt.datetime]]
) -> list[Charged | LedgerError | None]:
    pairs = zip(rows, uses, strict=True)
    return [None if row is None else outcome_of(row, request) for row, (request, _now) in pairs]


def charge_alone(request: ChargeRequest, now: dt.datetime) -> Charged:
    """Charge one use in a separate database call. Raises as `charge` does."""
    outcome = outcome_of(database.move(CHARGE, use_parameters(request) | {"now": now}), request)
    if isinstance(outcome, LedgerError):
        raise outcome
    return outcome


def charged_accounts(account_ids: Collection[uuid.UUID]) -> set[uuid.UUID]:
    """Those of the accounts that a charge has taken credits from."""
    found = database.read_reachable(_CHARGED, {"account_ids": list(account_ids)})
    return {uuid.UUID(row["account_id"]) for row in found}


def outcome_of(row: dict[str, Any], request: ChargeRequest) -> Charged | LedgerError:
    """Return what a row of the SQL type ledger_outcome says about the request."""
    if row["status"] in {"charged", "replayed"}:
        return charged(row)
    if row["status"] == "unknown":
        return UnknownWallet(request.account_id)
    if row["status"] == "busy":
        return WalletBusy(request.account_id)
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
    if status != "limit":
        return _refusal_of_hold(status, figures)
    maximum, used = Decimal(figures["maximum"]), Decimal(figures["used"])
    if figures["limit"] == "quota":
        return QuotaReached(quota=figures["subject"], maximum=maximum, used=used)
    resets_at = figures["resets_at"] and dt.datetime.fromisoformat(figures["resets_at"])
    return LimitReached(
        limit=figures["limit"], subject=figures["subject"], maximum=maximum, used=used, resets_at=resets_at
    )


def _refusal_of_hold(status: str, figures: dict[str, Any]) -> LedgerError:
    if status == "closed":
        return HoldClosed(figures["status"])
    if status == "children":
        return ChildrenOpen(figures["children"])
    if status == "budget":
        return BudgetExceeded(needed=Decimal(figures["needed"]), remaining=Decimal(figures["remaining"]))
    if status == "deep":
        return TreeTooDeep(figures["most"])
    if status == "holds":
        return TooManyHolds(figures["most"])
    raise ValueError(f"unknown status of the ledger: {status!r}")
