"""Taking checkpoints: find the wallets that moved, build the tree over their heads, sign and store it.

Invariants: a wallet whose history contradicts its last checkpointed head is never signed again; wallets are
read in short statements that take no locks, so a checkpoint delays no move.
"""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from operator import itemgetter
from typing import Any
from uuid import UUID

import structlog
from django.db import connection, transaction

from billing.ledger import database
from billing.ledger.checkpoints import content, keys, merkle
from billing.ledger.checkpoints.verification import Difference
from billing.ledger.models import Checkpoint, Head
from core.portions import portions

CHUNK = 5000  # wallets read by one statement
LARGEST = 10_000  # heads of one checkpoint: a statement's proof reads all of them
_LOCK = 7_340_112_265_014_220_001  # advisory lock of this package
log = structlog.get_logger(__name__)

_UPPER = """
select account_id from billing_wallet where account_id > %(after)s
 order by account_id offset %(chunk)s - 1 limit 1
"""
# `linked`: the entry with the number of the last checkpointed head, or its archive, still has that hash.
_MOVED = """
select w.account_id::text, w.seq, encode(w.head, 'hex') as head, w.balance::text, w.held::text, w.debt::text,
       p.seq as old_seq, p.balance::text as old_balance, p.held::text as old_held, p.debt::text as old_debt,
       p.seq is null or w.seq > p.seq and (p.seq = 0 or exists (
         select from billing_entry e
          where e.account_id = w.account_id and e.seq = p.seq and e.hash = p.head
         union all
         select from billing_archivedwallet a
          where a.account_id = w.account_id and a.seq = p.seq and a.head = p.head)) as linked
  from billing_wallet w
  left join lateral (select h.seq, h.head, h.balance, h.held, h.debt from billing_head h
                      where h.account_id = w.account_id order by h.checkpoint_id desc limit 1) p on true
 where w.account_id > %(after)s and (%(upper)s::uuid is null or w.account_id <= %(upper)s)
   and (p.seq is null or w.seq <> p.seq or w.head <> p.head)
 order by w.account_id
"""
_AMOUNTS = ("balance", "held", "debt", "old_balance", "old_held", "old_debt")
_AUDITS = """
select id, ledger_audit_hash(a) as hash from billing_audit a
 where id > %(after)s and finished_at is not null order by id
"""


@dataclass(frozen=True)
class _Totals:
    """Sums over all wallets that any checkpoint covers."""

    wallets: int = 0
    entries: int = 0
    balance: Decimal = Decimal(0)
    held: Decimal = Decimal(0)
    debt: Decimal = Decimal(0)

    def after(self, rows: list[dict[str, Any]]) -> "_Totals":
        """The sums after these wallets moved."""
        sums = {
            name: getattr(self, name) + sum(row[name] - (row[f"old_{name}"] or 0) for row in rows)
            for name in ("balance", "held", "debt")
        }
        return _Totals(
            wallets=self.wallets + sum(row["old_seq"] is None for row in rows),
            entries=self.entries + sum(row["seq"] - (row["old_seq"] or 0) for row in rows),
            **sums,
        )


def take(now: dt.datetime) -> list[Checkpoint]:
    """Record all wallets that moved since the previous checkpoint; returns the new checkpoints, oldest first.

    None is written when neither a wallet moved nor an audit ended. When another process takes a checkpoint at
    the same time, this call stops.
    """
    taken: list[Checkpoint] = []
    for rows in portions(_moved(), LARGEST):
        checkpoint = _store(rows, now)
        if checkpoint is None:
            return taken
        taken.append(checkpoint)
    if not taken and (checkpoint := _store([], now)):
        taken.append(checkpoint)
    return taken


def cut_wallets() -> list[Difference]:
    """The wallets whose entries contradict their last signed position: no checkpoint records them again."""
    found = [row for row in _positions() if not row["linked"]]
    return [
        Difference(
            f"account {row['account_id']}",
            f"entry {row['seq']} does not continue entry {row['old_seq']}, which was signed",
        )
        for row in found
    ]


def _moved() -> Iterator[dict[str, Any]]:
    """The wallets to record, in account order. Others that differ from their last head are logged."""
    for row in _positions():
        if row["linked"]:
            yield row
        else:
            log.error("checkpoint_refused", alert=True, account=str(row["account_id"]), entry=row["seq"])


def _positions() -> Iterator[dict[str, Any]]:
    """The wallets that differ from their last head, in account order."""
    after = UUID(int=0)
    while True:
        upper = database.rows(_UPPER, {"after": after, "chunk": CHUNK})
        bounds = {"after": after, "upper": upper[0]["account_id"] if upper else None}
        found = [_of_text(row) for row in database.read(_MOVED, bounds)]
        yield from sorted(found, key=itemgetter("account_id"))
        if not upper:
            return
        after = upper[0]["account_id"]


def _of_text(row: dict[str, Any]) -> dict[str, Any]:
    amounts = {name: row[name] and Decimal(row[name]) for name in _AMOUNTS}
    return row | amounts | {"account_id": UUID(row["account_id"]), "head": bytes.fromhex(row["head"])}


def _store(rows: list[dict[str, Any]], now: dt.datetime) -> Checkpoint | None:
    """Sign and store one checkpoint; None when there is nothing to record or another process took one."""
    with transaction.atomic():
        database.row("select pg_advisory_xact_lock(%(lock)s)", {"lock": _LOCK})
        previous = Checkpoint.objects.order_by("number").last()
        newest = {row["account_id"]: row["old_seq"] for row in rows}
        if _recorded_meanwhile(newest):
            return None
        audits = database.rows(_AUDITS, {"after": _last_audit()})
        if not rows and not audits:
            return None
        heads = [_head(row) for row in rows]
        checkpoint = _signed(previous, heads, _totals(previous).after(rows), audits, now)
        checkpoint.save(force_insert=True)
        _insert(checkpoint, heads)
    # The log is outside the database: it shows later what was signed.
    log.info(
        "checkpoint", number=checkpoint.number, hash=bytes(checkpoint.hash).hex(), moved=checkpoint.moved
    )
    return checkpoint


def _recorded_meanwhile(newest: dict[UUID, int | None]) -> bool:
    """Whether another process has recorded one of these wallets after it was read here."""
    statement = """select account_id, max(seq) as seq from billing_head where account_id = any(%(accounts)s)
      group by account_id"""
    recorded = {row["account_id"]: row["seq"] for row in database.rows(statement, {"accounts": list(newest)})}
    return any(recorded.get(account) != seq for account, seq in newest.items())


def _last_audit() -> int:
    """The newest audit that a checkpoint covers."""
    newest = Checkpoint.objects.exclude(audits=[]).order_by("number").last()
    return newest.audits[-1] if newest else 0


def _totals(previous: Checkpoint | None) -> _Totals:
    if previous is None:
        return _Totals()
    return _Totals(previous.wallets, previous.entries, previous.balance, previous.held, previous.debt)


def _head(row: dict[str, Any]) -> Head:
    names = ("account_id", "seq", "head", "balance", "held", "debt")
    return Head(**{name: row[name] for name in names})


def _signed(
    previous: Checkpoint | None,
    heads: list[Head],
    totals: _Totals,
    audits: list[dict[str, Any]],
    now: dt.datetime,
) -> Checkpoint:
    leaves = [merkle.leaf_hash(content.leaf_of(head)) for head in heads]
    checkpoint = Checkpoint(
        number=previous.number + 1 if previous else 1,
        created_at=max(now, previous.created_at) if previous else now,
        previous=previous.hash if previous else content.NO_HASH,
        root=merkle.root_of(leaves),
        moved=len(heads),
        audits=[audit["id"] for audit in audits],
        audits_hash=content.audits_hash(
            previous.audits_hash if previous else content.NO_HASH, [audit["hash"] for audit in audits]
        ),
        key_id=keys.current_id(),
        **vars(totals),
    )
    signed = content.content_of(checkpoint)
    checkpoint.hash = content.hash_of(signed)
    checkpoint.signature = keys.sign(content.message_of(signed))
    return checkpoint


def _insert(checkpoint: Checkpoint, heads: list[Head]) -> None:
    columns = "account_id, checkpoint_id, seq, head, balance, held, debt"
    with connection.cursor() as cursor, cursor.copy(f"copy billing_head ({columns}) from stdin") as copy:
        for head in heads:
            copy.write_row(
                (
                    head.account_id,
                    checkpoint.number,
                    head.seq,
                    bytes(head.head),
                    head.balance,
                    head.held,
                    head.debt,
                )
            )
