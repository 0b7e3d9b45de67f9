"""Settling wallets, and what makes them due: allowances, limits, low-credit thresholds.

Invariant: settling twice changes nothing the second time; a period's allowance is granted once, and missed
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
_SETTLE_DUE = "select ledger_settle_due(%(now)s, %(limit)s, %(skipped)s) as settled"
_DUE = """select account_id::text, next_due_at from billing_wallet
  where next_due_at <= %(now)s and account_id <> all(%(tried)s::uuid[])
  order by next_due_at limit %(limit)s"""
log = structlog.get_logger(__name__)


def settle(account_ids: Sequence[uuid.UUID], now: dt.datetime) -> int:
    """Settle those of the accounts that are due. Returns how many were (a wallet counts once a portion)."""
    return database.settle(account_ids, now)


def settle_due(now: dt.datetime, limit: int | None = None, chunk: int = CHUNK) -> int:
    """Settle every due wallet, in chunks of one transaction each. Returns how many were settled.

    A chunk is settled whole or not at all, so the loop can be interrupted. A wallet with very much due is
    settled in several chunks, and counts once in each. Wallets that another transaction has locked are
    skipped. A wallet whose settling fails does not delay others: it is logged with an alert, skipped, and
    tried again in the next run. Raises the database's error where it is not the error of a wallet: no wallet
    is due, or none of several could be settled. On a distributed database the wallets of a node that does not
    answer are left out.
    """
    if database.is_distributed():
        return _settle_due_on_nodes(now, limit, chunk)
    settled, skipped = 0, set[uuid.UUID]()
    while limit is None or settled < limit:
        size = chunk if limit is None else min(chunk, limit - settled)
        try:
            result = database.row(_SETTLE_DUE, {"now": now, "limit": size, "skipped": list(skipped)})
        except DatabaseError:
            due, failed_before = _due(now, size, skipped), len(skipped)
            settled += _settle_by_halves(due, now, skipped) if due else 0
            if not due or len(skipped) - failed_before == len(due) > 1:
                raise
            continue
        settled += int(result["settled"])
        if not result["settled"]:
            break
    return settled


def _settle_due_on_nodes(now: dt.datetime, limit: int | None, chunk: int) -> int:
    """Settle every due wallet, each in a call of its own: no statement locks wallets of several accounts."""
    settled, tried = 0, set[uuid.UUID]()
    while True:
        size = chunk if limit is None else min(chunk, limit - settled)
        found = database.read_reachable(_DUE, {"now": now, "limit": size, "tried": list(tried)})
        for row in sorted(found, key=lambda row: str(row["next_due_at"]))[:size]:
            account_id = uuid.UUID(row["account_id"])
            settled += _settle_by_halves([account_id], now, tried)
            tried.add(account_id)
        if not found or (limit is not None and settled >= limit):
            break
    return settled


def _due(now: dt.datetime, size: int, skipped: set[uuid.UUID]) -> list[uuid.UUID]:
    due = Wallet.objects.filter(next_due_at__lte=now).exclude(account_id__in=skipped)
    return list(due.order_by("next_due_at").values_list("account_id", flat=True)[:size])


def _settle_by_halves(account_ids: Sequence[uuid.UUID], now: dt.datetime, skipped: set[uuid.UUID]) -> int:
    """Settle a failed chunk half by half; single wallets that fail are added to `skipped`."""
    try:
        return settle(account_ids, now)
    except DatabaseError as error:
        if len(account_ids) == 1:
            skipped.add(account_ids[0])
            log.error("wallet_not_settled", alert=True, account=str(account_ids[0]), why=str(error))
            return 0
    middle = len(account_ids) // 2
    halves = account_ids[:middle], account_ids[middle:]
    return sum(_settle_by_halves(half, now, skipped) for half in halves)


def set_allowances(
    *, account_id: uuid.UUID, allowances: Sequence[AllowanceTerms], now: dt.datetime, carry_over: bool = False
) -> Decimal:
    """Replace the allowances of the account's plan, and grant at once what the running period still lacks.

    With `carry_over`, unused monthly credits of the former allowances are carried into the new month;
    otherwise they expire. Returns the balance. Raises UnknownWallet.
    """
    terms = json.dumps(
        [
            {
                "key": allowance.key,
                "kind": allowance.kind,
                "label": allowance.label,
                "credits": format(allowance.credits, "f"),
                "period": allowance.period,
                "lasts": allowance.lasts,
                "services": allowance.services,
                "priority": allowance.priority,
                "anchor_at": allowance.anchor_at.isoformat(),
                "ends_at": allowance.ends_at and allowance.ends_at.isoformat(),
            }
            for allowance in allowances
        ]
    )
    statement = """select ledger_set_allowances(%(account_id)s, %(terms)s::jsonb, %(carry_over)s, %(now)s)
      as balance"""
    parameters = {"account_id": account_id, "terms": terms, "carry_over": carry_over, "now": now}
    return Decimal(database.move(statement, parameters)["balance"])


def set_limit(
    *,
    account_id: uuid.UUID,
    kind: str,
    subject: str,
    period: str,
    maximum: Decimal | None,
    now: dt.datetime,
) -> Decimal | None:
    """Set, change or (None) remove the limit of an account, project, member, key or quota in a window.

    A new maximum keeps the window and its count; a new limit counts what its window has already seen. A key
    has a limit for each period, any other subject has one; the account's own subject is "account". Returns
    what is used. Raises UnknownWallet.
    """
    statement = """select ledger_set_limit(p_account => %(account_id)s, p_kind => %(kind)s,
      p_subject => %(subject)s, p_period => %(period)s, p_maximum => %(maximum)s, p_now => %(now)s) as used"""
    parameters = {
        "account_id": account_id,
        "kind": kind,
        "subject": subject,
        "period": period,
        "maximum": maximum,
        "now": now,
    }
    result = database.move(statement, parameters)
    return None if result["used"] is None else Decimal(result["used"])


def set_warning(*, account_id: uuid.UUID, below: Decimal | None, now: dt.datetime) -> bool:
    """Write a notice once when the balance falls below that many credits (None: never).

    Returns whether the balance is below it now. Raises UnknownWallet.
    """
    statement = "select ledger_set_warning(%(account_id)s, %(below)s, %(now)s) as low"
    result = database.move(statement, {"account_id": account_id, "below": below, "now": now})
    return bool(result["low"])
