"""Verification of the checkpoints, and of wallets, entries and audits against them.

Invariant: a difference is reported wherever the database does not hold exactly what was signed. Statements
are short, and nothing is locked.
"""

import datetime as dt
import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

from billing.ledger import database
from billing.ledger.checkpoints import content, keys, merkle
from billing.ledger.models import Checkpoint, Head
from core.portions import portions

PORTION = 200  # checkpoints whose heads are read by one statement
NAMED = 100  # heads named; the audit fails with the first

_HEADS = """
select h.checkpoint_id, h.account_id, h.seq,
       case when w.account_id is null then 'the wallet is missing'
            when w.seq < h.seq then 'the wallet ends at entry ' || w.seq
            when h.seq > 0 and e.hash is null then 'the entry is missing'
            when h.seq > 0 and e.hash <> h.head then 'the entry has another hash'
            when h.seq > 0 and e.balance_after <> h.balance
              then 'the balance was ' || h.balance || ', not ' || e.balance_after
            else 'the wallet has other figures without a new entry' end as found
  from billing_head h
  left join billing_wallet w on w.account_id = h.account_id
  left join lateral (
    select e.hash, e.balance_after from billing_entry e where e.account_id = h.account_id and e.seq = h.seq
    union all
    select a.head, a.balance from billing_archivedwallet a where a.account_id = h.account_id and a.seq = h.seq
    limit 1) e on true
 where h.checkpoint_id > %(after)s
   and (h.seq >= ledger_archived_seq(h.account_id) or w.account_id is null)
   and (w.account_id is null or w.seq < h.seq
        or h.seq > 0 and (e.hash is null or e.hash <> h.head or e.balance_after <> h.balance)
        or w.seq = h.seq
           and (w.head, w.balance, w.held, w.debt) is distinct from (h.head, h.balance, h.held, h.debt))
 limit %(limit)s
"""


class Difference(NamedTuple):
    """One difference between the database and what was signed."""

    subject: str
    found: str


def of_checkpoints(*, after: int = 0) -> Iterator[Difference]:
    """Differences of all checkpoints, or of those after the checkpoint number `after`.

    Checked: the numbers, the chain of hashes, the signatures, the roots over the heads, the audits, and that
    each wallet's chain of entries still contains each head.
    """
    yield from _chain(after)
    for row in database.read(_HEADS, {"after": after, "limit": NAMED}):
        subject = f"account {row['account_id']}"
        yield Difference(subject, f"checkpoint {row['checkpoint_id']}, entry {row['seq']}: {row['found']}")


def newest_before(at: dt.datetime) -> int:
    """The number of the newest checkpoint taken before the time `at`; 0 without one."""
    newest = Checkpoint.objects.filter(created_at__lt=at).order_by("number").last()
    return newest.number if newest else 0


def newest_hash() -> bytes:
    """The hash of the newest checkpoint; empty without one."""
    newest = Checkpoint.objects.order_by("number").last()
    return bytes(newest.hash) if newest else b""


def _chain(after: int) -> Iterator[Difference]:
    before = Checkpoint.objects.filter(number=after).first() if after else None
    if after and before is None:
        yield Difference(f"checkpoint {after}", "it is missing")
    retired: set[str] = set()
    checkpoints = Checkpoint.objects.filter(number__gt=after).order_by("number")
    for portion in portions(checkpoints.iterator(PORTION), PORTION):
        leaves = _leaves(portion[0].number, portion[-1].number)
        for checkpoint in portion:
            found = [
                *_position(checkpoint, before, after),
                *_signature(checkpoint, retired),
                *_root(checkpoint, leaves.get(checkpoint.number, [])),
                *_audits(checkpoint, before),
            ]
            yield from (Difference(str(checkpoint), text) for text in found)
            if before and before.key_id != checkpoint.key_id:
                retired.add(before.key_id)
            before = checkpoint


def _position(checkpoint: Checkpoint, before: Checkpoint | None, after: int) -> Iterator[str]:
    number = before.number if before else after
    if checkpoint.number != number + 1:
        yield f"it follows checkpoint {number}: checkpoints are missing"
    elif bytes(checkpoint.previous) != bytes(before.hash if before else content.NO_HASH):
        yield "it does not contain the hash of the checkpoint before"


def _signature(checkpoint: Checkpoint, retired: set[str]) -> Iterator[str]:
    signed = content.content_of(checkpoint)
    if bytes(checkpoint.hash) != content.hash_of(signed):
        yield "its hash does not follow from its content"
    if checkpoint.key_id in retired:
        yield f"it is signed with the key {checkpoint.key_id}, which was replaced before"
    message = content.message_of(signed)
    if not keys.is_valid(signer=checkpoint.key_id, signature=bytes(checkpoint.signature), message=message):
        yield f"it has no valid signature of the key {checkpoint.key_id}"


def _root(checkpoint: Checkpoint, leaves: list[bytes]) -> Iterator[str]:
    if len(leaves) != checkpoint.moved or merkle.root_of(leaves) != bytes(checkpoint.root):
        yield f"its root does not follow from its heads ({len(leaves)} of {checkpoint.moved})"


def _audits(checkpoint: Checkpoint, before: Checkpoint | None) -> Iterator[str]:
    statement = "select id, ledger_audit_hash(a) as hash from billing_audit a where id = any(%(ids)s)"
    if not checkpoint.audits:
        stored: dict[int, bytes] = {}
    else:
        stored = {row["id"]: row["hash"] for row in database.rows(statement, {"ids": checkpoint.audits})}
    missing = [number for number in checkpoint.audits if number not in stored]
    if missing:
        yield f"audits are missing: {missing}"
        return
    chain = content.audits_hash(
        before.audits_hash if before else content.NO_HASH, [stored[number] for number in checkpoint.audits]
    )
    if chain != bytes(checkpoint.audits_hash):
        yield f"the hash of the audits differs: one of {checkpoint.audits} was changed"


def _leaves(first: int, last: int) -> dict[int, list[bytes]]:
    """The leaf hashes of the checkpoints from `first` to `last`, by number, in account order."""
    heads = Head.objects.filter(checkpoint_id__gte=first, checkpoint_id__lte=last).order_by(
        "checkpoint_id", "account_id"
    )
    return {
        number: [merkle.leaf_hash(content.leaf_of(head)) for head in group]
        for number, group in itertools.groupby(heads.iterator(), key=_checkpoint_of)
    }


def _checkpoint_of(head: Head) -> Any:
    return head.checkpoint_id
