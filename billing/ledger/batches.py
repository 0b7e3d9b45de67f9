"""Batches: up to a thousand charges of any accounts, each accepted or refused on its own.

Invariants: the outcomes are the same as those of charging one after the other; while a batch waits for a
wallet it holds no other; a wallet that cannot be charged fails its own items only.
"""

import datetime as dt
import time
import uuid
from collections.abc import Iterable, Sequence
from contextlib import nullcontext

import structlog
from django.db import DatabaseError, InterfaceError, OperationalError, connection, transaction

from billing.ledger import database
from billing.ledger.charges import outcome_of
from billing.ledger.errors import LedgerError, UnknownWallet, WalletBusy, WalletUnreachable, WalletUnusable
from billing.ledger.moves import Charged, ChargeRequest
from billing.ledger.uses import use_as_json
from billing.ledger.waiting import WalletLocked

BATCH = 1000
CALL = 250  # a call holds its wallets until it ends: about 25 ms
WAIT_SECONDS = 3.0
LOCK_TIMEOUT = "250ms"
_MANY = "select ord, (outcome).* from ledger_charge_many(%(uses)s::jsonb, %(now)s) order by ord"
_LOCK = """select account_id from billing_wallet where account_id = any(%(account_ids)s)
  order by account_id for no key update"""
_OWN = """select (c.outcome).*
  from ledger_charge_account(%(account_id)s, %(uses)s::jsonb, %(times)s::timestamptz[], %(lock_timeout)s) c
 order by c.ord"""

Outcome = Charged | LedgerError
Item = tuple[int, ChargeRequest]  # its place in the batch
log = structlog.get_logger(__name__)


def charge_many(requests: Sequence[ChargeRequest], now: dt.datetime) -> list[Outcome]:
    """Charge up to 1,000 uses of any accounts and return an outcome for each, in the same order.

    Wallets that are in use are waited for one at a time, three seconds in total; WalletBusy is the outcome of
    items whose wallet was not free by then, WalletUnreachable of those whose node does not answer,
    WalletUnusable that of a wallet that no item can be charged to.
    Raises ValueError above 1,000 and OperationalError where the database is not available.

    Inside a transaction of the caller, the wallets are locked in the order of their ids.
    """
    if len(requests) > BATCH:
        raise ValueError(f"{len(requests)} uses; a batch takes {BATCH}")
    outcomes: dict[int, Outcome] = {}
    items = list(enumerate(requests))
    if connection.in_atomic_block and requests:
        _lock(sorted({request.account_id for request in requests}))
    until = time.monotonic() + WAIT_SECONDS
    for first in range(0, len(items), CALL):
        _charge_part(items[first : first + CALL], now, outcomes, until)
    return [outcomes[place] for place, _ in items]


def _lock(account_ids: Sequence[uuid.UUID]) -> None:
    """Lock the wallets in the order of their ids."""
    for part in [[one] for one in account_ids] if database.is_distributed() else [account_ids]:
        database.rows(_LOCK, {"account_ids": list(part)})


def _charge_part(items: Sequence[Item], now: dt.datetime, outcomes: dict[int, Outcome], until: float) -> None:
    """Charge the items whose wallets are free, then wait for one of the others, and again."""
    left = list(items)
    while left:
        _charge_free(left, now, outcomes)
        left = [(place, request) for place, request in left if isinstance(outcomes[place], WalletBusy)]
        if not left or time.monotonic() > until:
            return
        account_id = left[0][1].account_id
        _charge_waiting([item for item in left if item[1].account_id == account_id], now, outcomes)
        left = [item for item in left if item[1].account_id != account_id]


def _charge_free(items: Sequence[Item], now: dt.datetime, outcomes: dict[int, Outcome]) -> None:
    """Charge the items whose wallets are free. The outcome of the others is WalletBusy.

    If the call fails, its halves are tried, down to single wallets. On a distributed database each wallet has
    a call of its own, which waits for it shortly.
    """
    if database.is_distributed():
        for account_id in dict.fromkeys(request.account_id for _, request in items):
            own = [item for item in items if item[1].account_id == account_id]
            outcomes.update((place, WalletBusy(account_id)) for place, _ in own)
            _charge_waiting(own, now, outcomes)
        return
    try:
        with _savepoint():
            rows = database.rows(_MANY, {"uses": _as_json(items), "now": now})
    except (OperationalError, InterfaceError):
        raise
    except DatabaseError as error:
        accounts = sorted({request.account_id for _, request in items})
        if len(accounts) == 1:
            _refuse(items, accounts[0], error, outcomes)
            return
        lower = set(accounts[: len(accounts) // 2])
        _charge_free([item for item in items if item[1].account_id in lower], now, outcomes)
        _charge_free([item for item in items if item[1].account_id not in lower], now, outcomes)
        return
    for (place, request), row in zip(items, rows, strict=True):
        outcomes[place] = outcome_of(row, request)


def _charge_waiting(items: Sequence[Item], now: dt.datetime, outcomes: dict[int, Outcome]) -> None:
    """Charge items of one account; it waits for the wallet. After a timeout they stay WalletBusy."""
    account_id = items[0][1].account_id
    # the session's limit is not that of the node with the account
    lock_timeout = LOCK_TIMEOUT if database.is_distributed() else None
    parameters = {
        "uses": _as_json(items),
        "times": [now] * len(items),
        "account_id": account_id,
        "lock_timeout": lock_timeout,
    }
    try:
        with _savepoint(), database.waits.move(account_id, in_transaction=connection.in_atomic_block):
            rows = database.rows(_OWN, parameters)
    except database.MuchDue:
        database.settle([account_id], now)
        return _charge_waiting(items, now, outcomes)
    except WalletLocked:
        return
    except UnknownWallet as error:
        outcomes.update((place, error) for place, _ in items)
        return
    except (OperationalError, InterfaceError) as error:
        if database.is_timeout(error):
            return
        if not database.is_distributed() or connection.in_atomic_block:
            raise
        log.warning("wallet_unreachable", account=str(account_id), why=str(error))
        database.drop_broken()
        outcomes.update((place, WalletUnreachable(account_id)) for place, _ in items)
        return
    except DatabaseError as error:
        _refuse(items, account_id, error, outcomes)
        return
    for (place, request), row in zip(items, rows, strict=True):
        outcomes[place] = outcome_of(row, request)


def _refuse(
    items: Iterable[Item], account_id: uuid.UUID, error: DatabaseError, outcomes: dict[int, Outcome]
) -> None:
    log.error("wallet_not_charged", alert=True, account=str(account_id), why=str(error))
    for place, _ in items:
        outcomes[place] = WalletUnusable(account_id)


def _savepoint() -> transaction.Atomic | nullcontext[None]:
    """A savepoint inside a transaction of the caller, which an error would abort otherwise."""
    return transaction.atomic() if connection.in_atomic_block else nullcontext()


def _as_json(items: Iterable[Item]) -> str:
    return f"[{','.join(use_as_json(request) for _, request in items)}]"
