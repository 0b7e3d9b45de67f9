"""Writing an archive file, and reading it back.

The file is gzip-compressed JSON, one object per line: the header with the newest checkpoint, then for each
account a line `wallet` (its signed position and sums) and its entries in order, at the end a line `end` with
the counts.
Invariant: the records that are stored in the database come from the file as it was read back.
"""

import datetime as dt
import gzip
import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from billing.ledger import checkpoints, database
from billing.ledger.audit import wallets
from billing.ledger.models import ArchivedWallet, Checkpoint, Entry

FORMAT = "refill-ledger-archive/1"
CHUNK = 1000  # wallets, or entries, read by one statement

# The last signed position of each wallet that is followed by no entry older than `before`.
_CUTS = """
select w.account_id, h.checkpoint_id, h.seq, h.head, h.balance, h.held, h.debt,
       ledger_archived_seq(w.account_id) as after
  from (select account_id from billing_wallet
         where account_id > %(after)s order by account_id limit %(chunk)s) w
  cross join lateral (select e.seq from billing_entry e
                       where e.account_id = w.account_id and e.created_at < %(before)s
                       order by e.seq desc limit 1) l
  cross join lateral (select * from billing_head h where h.account_id = w.account_id and h.seq <= l.seq
                       order by h.checkpoint_id desc limit 1) h
 where h.seq > ledger_archived_seq(w.account_id)
 order by w.account_id
"""
_LAST_OF_CHUNK = """
select account_id from billing_wallet where account_id > %(after)s order by account_id limit %(chunk)s
"""


class ArchiveFailed(Exception):
    """Nothing was removed: the file could not be written or read back, or the ledger has a difference."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What an archive contains, or with a dry run would contain."""

    wallets: int
    entries: int
    removed: int = 0


@dataclass(frozen=True, kw_only=True)
class Cut:
    """The entries of one account to archive: after number `after`, up to the signed position `head`."""

    account_id: UUID
    checkpoint_id: int
    seq: int
    head: bytes
    balance: Any
    held: Any
    debt: Any
    after: int


def cuts(before: dt.datetime) -> Iterator[Cut]:
    """The wallets with signed entries older than `before`, in account order."""
    after = UUID(int=0)
    while True:
        bounds = {"after": after, "chunk": CHUNK}
        accounts = database.rows(_LAST_OF_CHUNK, bounds)
        for row in database.rows(_CUTS, bounds | {"before": before}):
            yield Cut(**row)
        if len(accounts) < CHUNK:
            return
        after = accounts[-1]["account_id"]


def write(path: Path, before: dt.datetime) -> Plan:
    """Write the file completely, or not at all.

    Raises ArchiveFailed for a chain with a difference, and OSError.
    """
    partial = path.with_name(path.name + ".partial")
    accounts = entries = 0
    with partial.open("wb") as raw, gzip.GzipFile(fileobj=raw, mode="wb", mtime=0) as file:
        newest = Checkpoint.objects.order_by("number").last()
        signed = checkpoints.signed(newest) if newest else None
        _line(file, {"format": FORMAT, "before": before.isoformat(), **(signed or {})})
        for cut in cuts(before):
            _line(file, {"wallet": _wallet(cut)})
            for entry in _entries(cut):
                _line(file, {"entry": entry})
            accounts, entries = accounts + 1, entries + cut.seq - cut.after
        _line(file, {"end": {"wallets": accounts, "entries": entries}})
        file.close()  # writes the rest; the file below stays open
        raw.flush()
        os.fsync(raw.fileno())
    partial.rename(path)
    return Plan(wallets=accounts, entries=entries)


class Reading:
    """Reads a written file back. `digest`, `wallets` and `entries` are complete after `records` has ended."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.digest = hashlib.sha256()
        self.wallets = self.entries = 0
        self._wallet: dict[str, Any] = {}  # the account being read; `at`: the last entry so far

    def records(self, archive_number: int) -> Iterator[ArchivedWallet]:
        """The records of the file's wallets.

        Raises ArchiveFailed unless every wallet's entries are there, in order, up to its position.
        """
        end = None
        with gzip.open(self.path, "rb") as file:
            for line in file:
                self.digest.update(line)
                content = json.loads(line)
                if "entry" in content:
                    self._continue(content["entry"])
                elif "wallet" in content:
                    self._complete()
                    self._wallet = content["wallet"] | {"at": content["wallet"]["after"]}
                    self.wallets += 1
                    yield _record(content["wallet"], archive_number)
                end = content.get("end")
        self._complete()
        if end != {"wallets": self.wallets, "entries": self.entries}:
            raise ArchiveFailed(f"{self.path} is not complete")

    def _continue(self, entry: dict[str, Any]) -> None:
        wallet = self._wallet
        if entry["seq"] != wallet["at"] + 1:
            raise ArchiveFailed(
                f"account {wallet['account']}: entry {wallet['at'] + 1} is missing in the file"
            )
        wallet |= {"at": entry["seq"], "hash": entry["hash"]}
        self.entries += 1

    def _complete(self) -> None:
        wallet = self._wallet
        if wallet and (wallet["at"], wallet["hash"]) != (wallet["seq"], wallet["head"]):
            raise ArchiveFailed(
                f"account {wallet['account']}: the file does not end at entry {wallet['seq']}"
            )


def content_hash(path: Path) -> bytes:
    """SHA-256 of the file's uncompressed content."""
    digest = hashlib.sha256()
    with gzip.open(path, "rb") as file:
        while part := file.read(1 << 20):
            digest.update(part)
    return digest.digest()


def _wallet(cut: Cut) -> dict[str, Any]:
    """The account's line: its position, what its entries sum to, and its last entry."""
    sums, state = wallets.read_pages(cut.account_id, cut.seq)
    last = Entry.objects.get(account_id=cut.account_id, seq=cut.seq)
    if sums.findings or bytes(last.hash) != cut.head:
        raise ArchiveFailed(f"account {cut.account_id} has differences: run manage.py audit_ledger")
    statement = """select ledger_purchase_sums(%(account)s, %(after)s, %(until)s)::text as sums,
      ledger_records_hash(%(account)s, %(until)s) as records"""
    found = database.row(statement, {"account": cut.account_id, "after": cut.after, "until": cut.seq})
    previous = _hash_at(cut.account_id, cut.seq - 1)
    return {
        "account": str(cut.account_id),
        "checkpoint": cut.checkpoint_id,
        "after": cut.after,
        "seq": cut.seq,
        "head": cut.head.hex(),
        "balance": str(cut.balance),
        "held": str(cut.held),
        "debt": str(cut.debt),
        "last": checkpoints.entry_content(last) | {"previous": previous.hex()},
        "state": json.loads(state, parse_float=str),
        "totals": {name: str(value) for name, value in sums.totals.items()},
        "sums": json.loads(found["sums"]),
        "records_hash": found["records"].hex(),
    }


def _record(wallet: dict[str, Any], archive_number: int) -> ArchivedWallet:
    names = ("seq", "balance", "held", "debt", "last", "state", "totals", "sums")
    return ArchivedWallet(
        account_id=UUID(wallet["account"]),
        archive_id=archive_number,
        checkpoint_id=wallet["checkpoint"],
        head=bytes.fromhex(wallet["head"]),
        records_hash=bytes.fromhex(wallet["records_hash"]),
        **{name: wallet[name] for name in names},
    )


def _hash_at(account_id: UUID, seq: int) -> bytes:
    """The hash of the account's entry `seq`, which may be archived, or what the first entry continues."""
    if seq == 0:
        return checkpoints.first_hash(account_id)
    entry = Entry.objects.filter(account_id=account_id, seq=seq).first()
    if entry is not None:
        return bytes(entry.hash)
    return bytes(ArchivedWallet.objects.get(account_id=account_id, seq=seq).head)


def _entries(cut: Cut) -> Iterator[dict[str, Any]]:
    for first in range(cut.after, cut.seq, CHUNK):
        until = min(first + CHUNK, cut.seq)
        entries = Entry.objects.filter(account_id=cut.account_id, seq__gt=first, seq__lte=until)
        yield from map(checkpoints.entry_content, entries.order_by("seq"))


def _line(file: gzip.GzipFile, content: dict[str, Any]) -> None:
    file.write(json.dumps(content, separators=(",", ":")).encode("ascii") + b"\n")
