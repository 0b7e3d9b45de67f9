"""Bringing wallets up to the present, and what makes them due: allowances, limits, warnings.

Invariant: settling twice changes nothing the second time; a period's allowance is given once, and missed
periods do not add up.
"""

import datetime as dt
import json
import uuid
from collections.abc import Sequence
from decimal import Decimal

import structlog
from django.db import DatabaseError

from billing.ledger import database
from billing.ledger.models import Wallet
from billing.ledger.moves import AllowanceTerms

CHUNK = 500
_SETTLE_DUE = "select ledger_settle_due(%s, %s, %s) as settled"
log = structlog.get_logger(__name__)


def settle(account_ids: Sequence[uuid.UUID], now: dt.datetime) -> int:
    """Settle those of the accounts that are due; returns how many were."""
    answer = database.row("select ledger_settle(%s, %s) as settled", [list(account_ids), now])
    return int(answer["settled"])


def settle_due(now: dt.datetime, limit: int | None = None, chunk: int = CHUNK) -> int:
    """Settle every due wallet, in chunks of one transaction each; returns how many were settled.

    Interruptible: a chunk is done or not. Wallets that somebody else works on are left to them. A wallet that
    cannot be settled holds up nobody: it is reported, passed over, and tried again the next time.
    """
    settled, impossible = 0, set[uuid.UUID]()
    while limit is None or settled < limit:
        size = chunk if limit is None else min(chunk, limit - settled)
        try:
            answer = database.row(_SETTLE_DUE, [now, size, list(impossible)])
        except DatabaseError:
            settled += _settle_what_can_be(_due(now, size, impossible), now, impossible)
            continue
        settled += int(answer["settled"])
        if answer["settled"] < size:
            break
    return settled


def _due(now: dt.datetime, size: int, impossible: set[uuid.UUID]) -> list[uuid.UUID]:
    due = Wallet.objects.filter(next_due_at__lte=now).exclude(account_id__in=impossible)
    return list(due.order_by("next_due_at").values_list("account_id", flat=True)[:size])


def _settle_what_can_be(
    account_ids: Sequence[uuid.UUID], now: dt.datetime, impossible: set[uuid.UUID]
) -> int:
    """Settle a chunk that failed by halves, until those are alone that fail; they join `impossible`."""
    try:
        return settle(account_ids, now)
    except DatabaseError as error:
        if len(account_ids) == 1:
            impossible.add(account_ids[0])
            log.error("wallet_not_settled", alert=True, account=str(account_ids[0]), why=str(error))
            return 0
    middle = len(account_ids) // 2
    halves = account_ids[:middle], account_ids[middle:]
    return sum(_settle_what_can_be(half, now, impossible) for half in halves)


def set_allowances(
    *, account_id: uuid.UUID, allowances: Sequence[AllowanceTerms], now: dt.datetime, carry_over: bool = False
) -> Decimal:
    """Replace what the account is given by its plan, and give at once what the running period still lacks.

    With `carry_over`, unused monthly credits of the allowances that go are carried into the new month;
    otherwise they expire. Returns the balance. Raises UnknownWallet.
    """
    terms = json.dumps(
        [
            {
                "key": one.key,
                "kind": one.kind,
                "label": one.label,
                "credits": format(one.credits, "f"),
                "period": one.period,
                "lasts": one.lasts,
                "services": one.services,
                "priority": one.priority,
                "anchor_at": one.anchor_at.isoformat(),
                "ends_at": one.ends_at and one.ends_at.isoformat(),
            }
            for one in allowances
        ]
    )
    statement = "select ledger_set_allowances(%s, %s::jsonb, %s, %s) as balance"
    return Decimal(database.row(statement, [account_id, terms, carry_over, now])["balance"])


def set_limit(
    *,
    account_id: uuid.UUID,
    kind: str,
    subject: str,
    period: str,
    maximum: Decimal | None,
    now: dt.datetime,
) -> Decimal | None:
    """Set, change or (None) lift what a project, member, key or quota may take in a window.

    Changing it does not reset its window; a new one counts what its window has already seen. Returns what
    is used. Raises UnknownWallet.
    """
    answer = database.row(
        "select ledger_set_limit(%s,%s,%s,%s,%s,%s) as used",
        [account_id, kind, subject, period, maximum, now],
    )
    return None if answer["used"] is None or maximum is None else Decimal(answer["used"])


def set_warning(*, account_id: uuid.UUID, below: Decimal | None, now: dt.datetime) -> bool:
    """Warn once when the balance falls below that many credits (None: never). Returns whether it is now."""
    answer = database.row("select ledger_set_warning(%s,%s,%s) as low", [account_id, below, now])
    return bool(answer["low"])
