"""Calls of the ledger's SQL functions: one round trip each, with parameters by name.

The statements are prepared on the server (core.prepared).
Invariant: a call runs in the transaction of Django's connection and raises Django's database errors.
"""

import datetime as dt
import functools
import uuid
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from typing import Any

import psycopg
import structlog
from django.conf import settings
from django.db import DatabaseError, connection, transaction
from psycopg.rows import dict_row
from psycopg.types.json import JsonbLoader

from billing.ledger.errors import UnknownWallet
from billing.ledger.waiting import Holder, WalletWaits
from core import prepared

log = structlog.get_logger(__name__)
NO_WALLET, TOO_MUCH_DUE, SENDS_NO_MORE = "RF404", "RF425", "RF503"
_SETTLE = "select ledger_settle(%(account_ids)s, %(now)s) as settled"
_SETTLE_ONE = "select ledger_settle_one(%(account_id)s, %(now)s) as settled"
_GROUPS = """select s.shardid as shard, min(p.groupid) as node
  from pg_dist_shard s join pg_dist_placement p on p.shardid = s.shardid
 where s.logicalrelid = 'billing_wallet'::regclass group by 1 order by 1"""
_GROUP_OF = "select get_shard_id_for_distribution_column('billing_wallet', %(account_id)s::uuid) as shard"
_QUERY = "select * from ledger_query(%(account_id)s, %(text)s) q(found)"
_OWNER = "select ledger_owner(%(account_id)s, %(table)s, %(id)s) as owner"
_HOLDER = """select w.xmax::text as transaction,
    not coalesce(bool_or(a.state like 'idle in transaction%%' or a.wait_event = 'PgSleep'
      or a.wait_event_type = 'Lock' and a.wait_event <> 'extend'), false) as is_working
  from billing_wallet w
  join pg_locks l on l.locktype = 'transactionid' and l.transactionid = w.xmax and l.granted
  join pg_stat_activity a on a.pid = l.pid
  where w.account_id = %(account_id)s group by w.xmax"""


class MuchDue(DatabaseError):
    """So much is due on the account's wallet that `settle` has to settle it first."""


def rows(statement: str, parameters: Mapping[str, Any], *, is_repeated: bool = False) -> list[dict[str, Any]]:
    """Return the rows of the statement.

    Raises UnknownWallet and MuchDue (the statement then has a parameter `account_id`) and Django's database
    errors.
    """
    connection.ensure_connection()
    with connection.wrap_database_errors, _cursor() as cursor:
        try:
            return list(prepared.execute(cursor, statement, parameters).fetchall())
        except psycopg.Error as error:
            if error.sqlstate == NO_WALLET:
                raise UnknownWallet(parameters["account_id"]) from None
            if error.sqlstate == TOO_MUCH_DUE:
                raise MuchDue(parameters.get("account_id")) from None
            if error.sqlstate == SENDS_NO_MORE:
                connection.close_at = 0  # at the end of the request
                if not connection.in_atomic_block and not is_repeated:
                    _end_session()
                    return rows(statement, parameters, is_repeated=True)
            raise


def _end_session() -> None:
    """End the session on the server, which a pooler would give to others."""
    with suppress(DatabaseError), connection.cursor() as cursor:
        cursor.execute("select pg_terminate_backend(pg_backend_pid())")
    connection.close()


def move(statement: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Run a move on the wallet of the parameter `account_id` at `now`; returns its row.

    A wallet with very much due is settled first, in portions: outside a transaction each is committed by
    itself, so that its lock is never held long. Raises waiting.WalletLocked when enough threads wait for this
    wallet already, and as `rows` does.
    """
    connection.ensure_connection()
    with waits.move(parameters["account_id"], in_transaction=connection.in_atomic_block):
        while True:
            try:
                # inside a transaction the savepoint keeps it usable
                with transaction.atomic() if connection.in_atomic_block else nullcontext():
                    return row(statement, parameters)
            except MuchDue:
                pass
            settle([parameters["account_id"]], parameters["now"])


def settle(account_ids: Sequence[uuid.UUID], now: dt.datetime) -> int:
    """Settle those of the accounts that are due, portion by portion.

    Returns how many were; one that is settled in several portions counts once in each.
    """
    if is_distributed():
        return sum(_settle_one(account_id, now) for account_id in account_ids)
    settled = 0
    while wallets := int(row(_SETTLE, {"account_ids": list(account_ids), "now": now})["settled"]):
        settled += wallets
    return settled


def _settle_one(account_id: uuid.UUID, now: dt.datetime) -> int:
    settled = 0
    while row(_SETTLE_ONE, {"account_id": account_id, "now": now})["settled"]:
        settled += 1
    return settled


@functools.cache
def is_distributed() -> bool:
    """Whether accounts are on several nodes (billing/ledger/distribution): a call is for one account then."""
    return bool(row("select to_regproc('ledger_shard') is not null as found", {})["found"])


def is_timeout(error: BaseException) -> bool:
    """Whether the database ended a call because it waited for a lock, or lasted, too long."""
    return isinstance(error.__cause__, psycopg.errors.LockNotAvailable | psycopg.errors.QueryCanceled)


def drop_broken() -> None:
    """Close Django's connection if the server has ended it, so that the next call opens another one."""
    if connection.connection is not None and connection.connection.closed and not connection.in_atomic_block:
        connection.close()


def row(statement: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the first row of the statement. Raises as `rows` does."""
    return rows(statement, parameters)[0]


def read(
    statement: str, parameters: Mapping[str, Any], *, account_id: uuid.UUID | None = None
) -> list[dict[str, Any]]:
    """Return the rows of a statement that reads each account's rows independently of those of others.

    On a distributed database it runs once for each group of shards, or for the one of the account, and the
    values are those of JSON: amounts and ids are read as text.
    """
    if not is_distributed():
        return rows(statement, parameters)
    connection.ensure_connection()
    text = psycopg.ClientCursor(connection.connection).mogrify(statement, parameters)
    accounts = [account_id] if account_id else [each for node in accounts_of_nodes() for each in node]
    found = [rows(_QUERY, {"account_id": each, "text": text}) for each in accounts]
    return [row["found"] for of_group in found for row in of_group]


def read_reachable(statement: str, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
    """As `read`, outside a transaction, without the accounts of a node that does not answer.

    For work in the background, which must go on for all others: the node is logged with an alert.
    """
    if not is_distributed():
        return rows(statement, parameters)
    connection.ensure_connection()
    text = psycopg.ClientCursor(connection.connection).mogrify(statement, parameters)
    found: list[dict[str, Any]] = []
    for groups in accounts_of_nodes():
        try:
            of_node = [rows(_QUERY, {"account_id": each, "text": text}) for each in groups]
        except DatabaseError as error:
            drop_broken()
            log.error("node_unreachable", alert=True, why=str(error))
            continue
        found += [row["found"] for of_group in of_node for row in of_group]
    return found


def owner(table: str, row_id: uuid.UUID) -> uuid.UUID | None:
    """The account of the charge or hold with this id, on a distributed database; None where there is none.

    A node that fails does not matter when another one has it. Raises its error otherwise.
    """
    failed: DatabaseError | None = None
    for groups in accounts_of_nodes():
        try:
            with transaction.atomic() if connection.in_atomic_block else nullcontext():
                found = row(_OWNER, {"account_id": groups[0], "table": table, "id": row_id})["owner"]
        except DatabaseError as error:
            drop_broken()
            failed = error
            continue
        if found is not None:
            return uuid.UUID(str(found))
    if failed is not None:
        raise failed
    return None


@functools.cache
def accounts_of_nodes() -> tuple[tuple[uuid.UUID, ...], ...]:
    """For each node an id for each of its groups of shards, of an account that need not exist."""
    groups = {row["shard"]: row["node"] for row in rows(_GROUPS, {})}
    found: dict[int, uuid.UUID] = {}
    while len(found) < len(groups):
        account_id = uuid.uuid4()
        found.setdefault(rows(_GROUP_OF, {"account_id": account_id})[0]["shard"], account_id)
    nodes: dict[int, list[uuid.UUID]] = {}
    for shard, node in groups.items():
        nodes.setdefault(node, []).append(found[shard])
    return tuple(tuple(node) for node in nodes.values())


def _cursor() -> psycopg.Cursor[dict[str, Any]]:
    cursor = psycopg.Cursor(connection.connection, row_factory=dict_row)
    # Django's connection leaves jsonb as text for JSONField to decode; here it is decoded
    cursor.adapters.register_loader("jsonb", JsonbLoader)
    return cursor


def _holder_of(account_id: uuid.UUID) -> Holder | None:
    """The transaction that holds the account's wallet now; None where it is on another node."""
    if is_distributed():
        return None
    found = rows(_HOLDER, {"account_id": account_id})
    return Holder(found[0]["transaction"], found[0]["is_working"]) if found else None


waits = WalletWaits(most=settings.WEB_THREADS // 2, holder_of=_holder_of)
